//! The 33 body points of BlazePose: their indices, and which of them belong together.
//!
//! Everything that means a particular point names it from here. The order is that of MediaPipe's `PoseLandmark`
//! (`mediapipe/python/solutions/pose.py`; Bazarevsky et al., *BlazePose: On-device Real-time Body Pose Tracking*, 2020). From the
//! eyes down, points come in pairs, left before right; left and right are the person's own.

use std::ops::Range;

/// How many body points there are.
pub const LANDMARKS: usize = 33;

/// Tip of the nose.
pub const NOSE: usize = 0;
/// The first of the three points of the left eye: inner corner, pupil, outer corner.
pub const LEFT_EYE_INNER: usize = 1;
/// The last of them.
pub const LEFT_EYE_OUTER: usize = 3;
/// The first of the three points of the right eye, in the same order.
pub const RIGHT_EYE_INNER: usize = 4;
/// The last of them.
pub const RIGHT_EYE_OUTER: usize = 6;
/// Left ear.
pub const LEFT_EAR: usize = 7;
/// Right ear.
pub const RIGHT_EAR: usize = 8;
/// Left corner of the mouth.
pub const LEFT_MOUTH: usize = 9;
/// Right corner of the mouth.
pub const RIGHT_MOUTH: usize = 10;
/// Left shoulder.
pub const LEFT_SHOULDER: usize = 11;
/// Right shoulder.
pub const RIGHT_SHOULDER: usize = 12;
/// Left elbow.
pub const LEFT_ELBOW: usize = 13;
/// Right elbow.
pub const RIGHT_ELBOW: usize = 14;
/// Left wrist.
pub const LEFT_WRIST: usize = 15;
/// Right wrist.
pub const RIGHT_WRIST: usize = 16;
/// Knuckle of the left little finger.
pub const LEFT_PINKY: usize = 17;
/// Knuckle of the right little finger.
pub const RIGHT_PINKY: usize = 18;
/// Knuckle of the left index finger.
pub const LEFT_INDEX: usize = 19;
/// Knuckle of the right index finger.
pub const RIGHT_INDEX: usize = 20;
/// Knuckle of the left thumb.
pub const LEFT_THUMB: usize = 21;
/// Knuckle of the right thumb.
pub const RIGHT_THUMB: usize = 22;
/// Left hip.
pub const LEFT_HIP: usize = 23;
/// Right hip.
pub const RIGHT_HIP: usize = 24;
/// Left knee.
pub const LEFT_KNEE: usize = 25;
/// Right knee.
pub const RIGHT_KNEE: usize = 26;
/// Left ankle.
pub const LEFT_ANKLE: usize = 27;
/// Right ankle.
pub const RIGHT_ANKLE: usize = 28;
/// Left heel.
pub const LEFT_HEEL: usize = 29;
/// Right heel.
pub const RIGHT_HEEL: usize = 30;
/// Tip of the left foot.
pub const LEFT_TOES: usize = 31;
/// Tip of the right foot.
pub const RIGHT_TOES: usize = 32;

/// A left point and the same on the right.
pub type Pair = [usize; 2];

/// Both ears.
pub const EARS: Pair = [LEFT_EAR, RIGHT_EAR];
/// Both shoulders.
pub const SHOULDERS: Pair = [LEFT_SHOULDER, RIGHT_SHOULDER];
/// Both hips.
pub const HIPS: Pair = [LEFT_HIP, RIGHT_HIP];
/// Both knees.
pub const KNEES: Pair = [LEFT_KNEE, RIGHT_KNEE];
/// Both ankles.
pub const ANKLES: Pair = [LEFT_ANKLE, RIGHT_ANKLE];

/// The head.
pub const HEAD: Range<usize> = NOSE..LEFT_SHOULDER;
/// Nose, eyes and ears: the head without the mouth.
pub const EYES_AND_EARS: Range<usize> = NOSE..LEFT_MOUTH;
/// Everything below the head.
pub const BELOW_HEAD: Range<usize> = LEFT_SHOULDER..LANDMARKS;
/// Hips and everything that hangs on them.
pub const LOWER_BODY: Range<usize> = LEFT_HIP..LANDMARKS;
/// Shoulders to wrists.
pub const ARMS: Range<usize> = LEFT_SHOULDER..LEFT_PINKY;
/// Heels and tips of the feet.
pub const FEET: [usize; 4] = [LEFT_HEEL, RIGHT_HEEL, LEFT_TOES, RIGHT_TOES];
/// Shoulders and hips.
pub const TORSO: [usize; 4] = [LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP];
/// The joints of torso and limbs: shoulders, elbows, wrists, hips, knees and ankles.
pub const JOINTS: [usize; 12] = [
    LEFT_SHOULDER,
    RIGHT_SHOULDER,
    LEFT_ELBOW,
    RIGHT_ELBOW,
    LEFT_WRIST,
    RIGHT_WRIST,
    LEFT_HIP,
    RIGHT_HIP,
    LEFT_KNEE,
    RIGHT_KNEE,
    LEFT_ANKLE,
    RIGHT_ANKLE,
];

/// COCO's 17 key points, in its order, as BlazePose's (Lin et al., *Microsoft COCO: Common Objects in Context*, 2014).
pub const COCO: [usize; 17] = [
    NOSE,
    LEFT_EYE_INNER + 1,
    RIGHT_EYE_INNER + 1,
    LEFT_EAR,
    RIGHT_EAR,
    LEFT_SHOULDER,
    RIGHT_SHOULDER,
    LEFT_ELBOW,
    RIGHT_ELBOW,
    LEFT_WRIST,
    RIGHT_WRIST,
    LEFT_HIP,
    RIGHT_HIP,
    LEFT_KNEE,
    RIGHT_KNEE,
    LEFT_ANKLE,
    RIGHT_ANKLE,
];

/// Names of BlazePose's points, those of COCO where they are the same.
pub const NAMES: [&str; LANDMARKS] = [
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_big_toe",
    "right_big_toe",
];

/// Names of COCO's 17 key points, in its order.
pub const COCO_NAMES: [&str; 17] = {
    let mut names = [""; 17];
    let mut i = 0;
    while i < names.len() {
        names[i] = NAMES[COCO[i]];
        i += 1;
    }
    names
};

/// The lines of torso and limbs, from joint to joint; the torso is crossed by its diagonals.
pub const BONES: [[usize; 2]; 14] = [
    [LEFT_SHOULDER, RIGHT_SHOULDER],
    [LEFT_HIP, RIGHT_HIP],
    [LEFT_SHOULDER, LEFT_HIP],
    [RIGHT_SHOULDER, RIGHT_HIP],
    [LEFT_SHOULDER, RIGHT_HIP],
    [RIGHT_SHOULDER, LEFT_HIP],
    [LEFT_SHOULDER, LEFT_ELBOW],
    [LEFT_ELBOW, LEFT_WRIST],
    [RIGHT_SHOULDER, RIGHT_ELBOW],
    [RIGHT_ELBOW, RIGHT_WRIST],
    [LEFT_HIP, LEFT_KNEE],
    [LEFT_KNEE, LEFT_ANKLE],
    [RIGHT_HIP, RIGHT_KNEE],
    [RIGHT_KNEE, RIGHT_ANKLE],
];

/// The points of one side's arm and leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SidePoints {
    /// Shoulder, elbow and wrist.
    pub arm: [usize; 3],
    /// Knuckles of the little and of the index finger.
    pub knuckles: [usize; 2],
    /// Knuckle of the thumb.
    pub thumb: usize,
    /// Hip, knee and ankle.
    pub leg: [usize; 3],
    /// Heel and tip of the foot.
    pub foot: [usize; 2],
}

/// The left side's.
pub const LEFT: SidePoints = SidePoints {
    arm: [LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST],
    knuckles: [LEFT_PINKY, LEFT_INDEX],
    thumb: LEFT_THUMB,
    leg: [LEFT_HIP, LEFT_KNEE, LEFT_ANKLE],
    foot: [LEFT_HEEL, LEFT_TOES],
};

/// The right side's.
pub const RIGHT: SidePoints = SidePoints {
    arm: [RIGHT_SHOULDER, RIGHT_ELBOW, RIGHT_WRIST],
    knuckles: [RIGHT_PINKY, RIGHT_INDEX],
    thumb: RIGHT_THUMB,
    leg: [RIGHT_HIP, RIGHT_KNEE, RIGHT_ANKLE],
    foot: [RIGHT_HEEL, RIGHT_TOES],
};

/// The same point on the other side of the body; the nose is its own.
pub const fn mirrored(point: usize) -> usize {
    match point {
        NOSE => NOSE,
        LEFT_EYE_INNER..=LEFT_EYE_OUTER => point + 3,
        RIGHT_EYE_INNER..=RIGHT_EYE_OUTER => point - 3,
        _ if is_left(point) => point + 1,
        _ => point - 1,
    }
}

/// Whether a point is on the left side of the body.
pub const fn is_left(point: usize) -> bool {
    match point {
        NOSE..=RIGHT_EYE_OUTER => matches!(point, LEFT_EYE_INNER..=LEFT_EYE_OUTER),
        // Below the eyes pairs begin at odd numbers.
        _ => point % 2 == 1,
    }
}

/// The point (twice) or the two points in whose middle a point hangs on the body, towards the hips: the network's world landmarks
/// are best measured along these links.
pub fn parent(point: usize) -> [usize; 2] {
    let of_side = |left, right| if is_left(point) { [left; 2] } else { [right; 2] };
    match point {
        NOSE..=RIGHT_MOUTH => SHOULDERS,
        LEFT_ELBOW | RIGHT_ELBOW => of_side(LEFT_SHOULDER, RIGHT_SHOULDER),
        LEFT_WRIST | RIGHT_WRIST => of_side(LEFT_ELBOW, RIGHT_ELBOW),
        LEFT_PINKY..=RIGHT_THUMB => of_side(LEFT_WRIST, RIGHT_WRIST),
        LEFT_KNEE | RIGHT_KNEE => of_side(LEFT_HIP, RIGHT_HIP),
        LEFT_ANKLE | RIGHT_ANKLE => of_side(LEFT_KNEE, RIGHT_KNEE),
        LEFT_HEEL..=RIGHT_TOES => of_side(LEFT_ANKLE, RIGHT_ANKLE),
        _ => HIPS,
    }
}

/// The point among COCO's 17 that one of the others moves with: that of a corner of an eye is the eye, that of the mouth the nose, that of
/// knuckles the wrist, that of heel and toes the ankle.
pub fn near(point: usize) -> Option<usize> {
    match point {
        LEFT_EYE_INNER | LEFT_EYE_OUTER => Some(LEFT_EYE_INNER + 1),
        RIGHT_EYE_INNER | RIGHT_EYE_OUTER => Some(RIGHT_EYE_INNER + 1),
        LEFT_MOUTH | RIGHT_MOUTH => Some(NOSE),
        LEFT_PINKY..=RIGHT_THUMB | LEFT_HEEL..=RIGHT_TOES => Some(parent(point)[0]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirroring_twice_is_nothing() {
        assert!((0..LANDMARKS).all(|i| mirrored(mirrored(i)) == i));
        assert!((1..LANDMARKS).all(|i| is_left(mirrored(i)) != is_left(i)));
        assert_eq!((mirrored(2), mirrored(LEFT_EAR), mirrored(11), mirrored(32)), (5, RIGHT_EAR, 12, 31));
    }

    #[test]
    fn both_sides_hang_on_the_body_alike() {
        for point in (0..LANDMARKS).filter(|&i| i != NOSE) {
            let mut other = parent(mirrored(point)).map(mirrored);
            other.sort_unstable();
            assert_eq!(parent(point), other, "{point}");
        }
        let [left, right] = [LEFT, RIGHT].map(|s| [&s.arm[..], &s.knuckles, &s.leg, &s.foot].concat());
        assert_eq!(left.into_iter().map(mirrored).collect::<Vec<_>>(), right);
    }
}
