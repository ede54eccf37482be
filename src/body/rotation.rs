//! Rotations as quaternions and rotation vectors (axis times angle), and their derivatives.

use glam::{DMat3, DQuat, DVec3};

/// The rotation by `|v|` radians about `v`.
pub fn exp(v: DVec3) -> DQuat {
    let angle = v.length();
    // sin(a/2)/a, by its series where the quotient would lose digits.
    let factor = if angle < 1e-4 { 0.5 - angle * angle / 48.0 } else { (angle / 2.0).sin() / angle };
    let s = v * factor;
    DQuat::from_xyzw(s.x, s.y, s.z, (angle / 2.0).cos())
}

/// The shortest rotation vector of a unit quaternion.
pub fn log(q: DQuat) -> DVec3 {
    let q = if q.w < 0.0 { -q } else { q };
    let v = DVec3::new(q.x, q.y, q.z);
    let sine = v.length();
    if sine < 1e-9 { 2.0 * v } else { v * (2.0 * sine.atan2(q.w) / sine) }
}

/// The matrix of `v x _`.
pub fn cross_matrix(v: DVec3) -> DMat3 {
    DMat3::from_cols(DVec3::new(0.0, v.z, -v.y), DVec3::new(-v.z, 0.0, v.x), DVec3::new(v.y, -v.x, 0.0))
}

/// Derivative of `log(q * exp(d))` by `d` at 0, for `v = log(q)` (the inverse right Jacobian of SO(3)).
pub fn log_derivative(v: DVec3) -> DMat3 {
    let angle = v.length();
    let k = cross_matrix(v);
    let second = if angle < 1e-3 {
        1.0 / 12.0
    } else {
        1.0 / (angle * angle) - (1.0 + angle.cos()) / (2.0 * angle * angle.sin().max(1e-9))
    };
    DMat3::IDENTITY + k * 0.5 + k * k * second
}

/// The shortest rotation that takes the direction of `from` to that of `to`; none where either has no length.
pub fn between(from: DVec3, to: DVec3) -> DQuat {
    match (from.try_normalize(), to.try_normalize()) {
        (Some(a), Some(b)) => {
            let axis = a.cross(b);
            let sine = axis.length();
            if sine < 1e-9 {
                return if a.dot(b) > 0.0 {
                    DQuat::IDENTITY
                } else {
                    DQuat::from_axis_angle(a.any_orthonormal_vector(), std::f64::consts::PI)
                };
            }
            exp(axis * (sine.atan2(a.dot(b)) / sine))
        }
        _ => DQuat::IDENTITY,
    }
}

/// A right-handed frame whose first axis is along `x` and whose second is as near to `up` as can be; none where they are
/// parallel.
pub fn frame(x: DVec3, up: DVec3) -> Option<DQuat> {
    let x = x.try_normalize()?;
    let y = (up - x * x.dot(up)).try_normalize()?;
    Some(DQuat::from_mat3(&DMat3::from_cols(x, y, x.cross(y))).normalize())
}

/// The same rotation, by at most `limit` radians.
pub fn clamp(q: DQuat, limit: f64) -> DQuat {
    exp(log(q).clamp_length_max(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: [DVec3; 5] = [
        DVec3::new(0.3, -0.2, 0.9),
        DVec3::new(1e-6, 2e-6, -1e-6),
        DVec3::new(-1.5, 1.7, 0.8),
        DVec3::new(3.0, 0.3, 0.2),
        DVec3::ZERO,
    ];

    #[test]
    fn log_undoes_exp() {
        for v in SOME {
            assert!((log(exp(v)) - v).length() < 1e-9, "{v}");
        }
    }

    #[test]
    fn log_derivative_agrees_with_differences() {
        for v in SOME {
            let q = exp(v);
            let d = log_derivative(v);
            for (axis, column) in [DVec3::X, DVec3::Y, DVec3::Z].into_iter().zip([d.x_axis, d.y_axis, d.z_axis]) {
                let h = 1e-6;
                let numeric = (log(q * exp(axis * h)) - log(q * exp(-axis * h))) / (2.0 * h);
                assert!((numeric - column).length() < 1e-6, "{v} {axis}");
            }
        }
    }

    #[test]
    fn between_takes_one_direction_to_the_other() {
        let (a, b) = (DVec3::new(1.0, 2.0, 3.0), DVec3::new(-2.0, 0.5, 1.0));
        assert!((between(a, b) * a.normalize() - b.normalize()).length() < 1e-12);
        assert!((between(a, -a) * a + a).length() < 1e-9);
    }
}
