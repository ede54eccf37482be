//! Drawing with the real OpenGL of this machine (Mesa's software renderer will do).
#![allow(clippy::unwrap_used)] // a test fails by panicking, its helpers too

use std::sync::OnceLock;

use glam::{DVec3, Vec2};
use meshreel::body::Camera;
use meshreel::geometry::{Geometry, Orientation, Rect};
use meshreel::media::{Color, Frame, Layout, Matrix, Range};
use meshreel::render::{
    Mesh, MeshData, Overlay, Paint, Person, RenderError, RenderThread, Renderer, Scene, Shape, Sketch, Style, blend,
    dim, fill, self_test,
};

/// One render thread for the test process, as in the program.
fn renderer() -> Renderer {
    static THREAD: OnceLock<RenderThread> = OnceLock::new();
    THREAD.get_or_init(|| RenderThread::start().expect("OpenGL")).renderer()
}

const IDENTITY: [f32; 12] = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];

fn at(place: [f32; 3]) -> [f32; 12] {
    let mut m = IDENTITY;
    for (row, v) in place.into_iter().enumerate() {
        m[row * 4 + 3] = v;
    }
    m
}

/// A capsule round the y axis: radius 0.25, half length 0.5 between the centres; the upper half follows joint 0, the lower
/// joint 1.
fn capsule() -> (Mesh, Shape) {
    let (rings, segments) = (48u32, 64u32);
    let mut vertices = Vec::new();
    let mut data = MeshData::default();
    for ring in 0..=rings {
        let polar = std::f32::consts::PI * ring as f32 / rings as f32;
        for segment in 0..segments {
            let turn = std::f32::consts::TAU * segment as f32 / segments as f32;
            let (r, y) = (0.25 * polar.sin(), -0.25 * polar.cos());
            let lower = ring * 2 > rings;
            vertices.push([r * turn.cos(), y + if lower { 0.5 } else { -0.5 }, r * turn.sin()]);
            data.skin_indices.push([0, 1, 0, 0]);
            data.skin_weights.push(if lower { [0.0, 1.0, 0.0, 0.0] } else { [1.0, 0.0, 0.0, 0.0] });
        }
    }
    for ring in 0..rings {
        for segment in 0..segments {
            let next = (segment + 1) % segments;
            let [a, b] = [ring * segments + segment, ring * segments + next];
            let [c, d] = [a + segments, b + segments];
            data.faces.extend([[a, c, b], [b, c, d]]);
        }
    }
    data.vertices.clone_from(&vertices);
    let mesh = Mesh::new(data).expect("mesh");
    let shape = Shape::new(&mesh, &vertices).expect("shape");
    (mesh, shape)
}

const SIZE: [u32; 2] = [320, 240];

fn camera() -> Camera {
    Camera { focal: [300.0, 300.0], center: [159.5, 119.5] }
}

fn upright() -> Geometry {
    Geometry::new(SIZE, 1.0, Orientation::default())
}

fn draw(people: &[([f32; 3], [f32; 3], f32)], geometry: &Geometry, style: Style) -> Overlay {
    let (mesh, shape) = capsule();
    let joints: Vec<[[f32; 12]; 2]> = people.iter().map(|p| [at(p.0), at(p.0)]).collect();
    let confidence: Vec<[f32; 2]> = people.iter().map(|p| [p.2; 2]).collect();
    let people: Vec<Person> = (0..people.len())
        .map(|i| Person {
            shape: &shape,
            bend: None,
            joints: &joints[i],
            confidence: &confidence[i],
            color: people[i].1,
        })
        .collect();
    let scene = Scene::build(&mesh, &people, &camera(), geometry, style).expect("scene");
    renderer().request(scene).expect("thread").wait().expect("drawn").overlay
}

fn pixel(overlay: &Overlay, x: u32, y: u32) -> [u8; 4] {
    let Rect { x: left, y: top, width, height } = overlay.rect;
    if x < left || y < top || x >= left + width || y >= top + height {
        return [0; 4];
    }
    let at = (((y - top) * width + (x - left)) * 4) as usize;
    [0, 1, 2, 3].map(|c| overlay.rgba[at + c])
}

/// Whether the ray through a displayed pixel hits the capsule at `place`.
fn hits(place: [f32; 3], x: f64, y: f64) -> bool {
    let c = camera();
    let ray = DVec3::new((x - c.center[0]) / c.focal[0], (y - c.center[1]) / c.focal[1], 1.0).normalize();
    let centre = DVec3::from(place.map(f64::from));
    // Least distance between the ray and the segment, by ternary search along the (convex) segment.
    let distance = |t: f64| {
        let p = centre + DVec3::new(0.0, t, 0.0);
        (p - ray * p.dot(ray)).length()
    };
    let (mut low, mut high) = (-0.5, 0.5);
    for _ in 0..40 {
        let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if distance(a) < distance(b) { high = b } else { low = a }
    }
    distance(low) < 0.25
}

#[test]
fn this_machine_draws_a_triangle() {
    let rendered = self_test(&renderer()).expect("self-test");
    assert_eq!([rendered.vertices, rendered.faces], [3, 1]);
}

#[test]
fn edges_have_the_coverage_of_a_supersampled_picture() {
    for place in [[0.1, 0.05, 3.0], [-0.3, 0.0, 2.2], [0.4, -0.2, 8.0]] {
        let overlay = draw(&[(place, [1.0; 3], 1.0)], &upright(), Style::Mask);
        let (mut error, mut area, mut covered, mut edge) = (0.0, 0.0, 0.0, 0.0f64);
        for y in 0..SIZE[1] {
            for x in 0..SIZE[0] {
                let [px, py] = [x, y].map(f64::from);
                let corners =
                    [(-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)].map(|(dx, dy)| hits(place, px + dx, py + dy));
                let sub = |i: u32| (f64::from(i) + 0.5) / 8.0 - 0.5;
                let inside = match corners {
                    [true, true, true, true] => 64,
                    [false, false, false, false] => 0,
                    _ => (0..64).filter(|i| hits(place, px + sub(i % 8), py + sub(i / 8))).count(),
                };
                let truth = inside as f64 / 64.0;
                let found = f64::from(pixel(&overlay, x, y)[3]) / 255.0;
                covered += found;
                area += truth;
                if inside != 0 && inside != 64 || found > 0.0 && found < 1.0 {
                    edge += 1.0;
                    error += (found - truth).abs();
                }
            }
        }
        println!("{place:?}: mean edge error {:.4}, area {covered:.1} of {area:.1}", error / edge);
        assert!(error / edge < 0.08, "mean edge error {}", error / edge);
        assert!((covered / area - 1.0).abs() < 0.02, "area {covered} of {area}");
    }
}

#[test]
fn bodies_far_away_have_fewer_triangles() {
    let (mesh, shape) = capsule();
    let faces = [0.6, 1.5, 4.0, 12.0].map(|distance| {
        let joints = [at([0.0, 0.0, distance]); 2];
        let person = Person { shape: &shape, bend: None, joints: &joints, confidence: &[1.0; 2], color: [1.0; 3] };
        let scene = Scene::build(&mesh, &[person], &camera(), &upright(), Style::Mask).expect("scene");
        scene.counts()[2]
    });
    assert_eq!(faces[0], mesh.faces(), "all of them close by");
    assert!(faces.is_sorted_by(|nearer, farther| nearer > farther), "{faces:?}");
}

#[test]
fn the_nearer_body_hides_the_farther_one_whatever_the_order() {
    let (near, far) = (([0.0, 0.0, 2.5], [1.0, 0.0, 0.0], 1.0), ([0.1, 0.0, 4.0], [0.0, 0.0, 1.0], 1.0));
    let first = draw(&[near, far], &upright(), Style::Overlay);
    let last = draw(&[far, near], &upright(), Style::Overlay);
    for overlay in [&first, &last] {
        let [r, _, b, a] = pixel(overlay, 159, 119);
        assert!(a == 255 && r > 100 && b < r / 2, "{r} {b} {a}");
    }
    assert_eq!(first.rect, last.rect);
}

#[test]
fn a_segment_not_seen_is_paler() {
    let sure = pixel(&draw(&[([0.0, 0.0, 3.0], [0.9, 0.3, 0.1], 1.0)], &upright(), Style::Overlay), 159, 119);
    let unsure = pixel(&draw(&[([0.0, 0.0, 3.0], [0.9, 0.3, 0.1], 0.0)], &upright(), Style::Overlay), 159, 119);
    assert_eq!(sure[3], 255);
    assert!((80..160).contains(&unsure[3]), "{unsure:?}");
    // Premultiplied components never exceed the opacity.
    assert!(unsure[..3].iter().all(|&c| c <= unsure[3]), "{unsure:?}");
    let saturation = |p: [u8; 4]| f32::from(p[0] - p[2]) / f32::from(p[3]);
    assert!(saturation(unsure) < saturation(sure));
}

#[test]
fn turned_and_mirrored_video_is_drawn_into_its_coded_raster() {
    let place = [0.25, -0.1, 3.0];
    let shown = draw(&[(place, [1.0; 3], 1.0)], &upright(), Style::Mask);
    for quarter_turns in 0..4 {
        for mirrored in [false, true] {
            let coded = if quarter_turns % 2 == 1 { [SIZE[1], SIZE[0]] } else { SIZE };
            let geometry = Geometry::new(coded, 1.0, Orientation { quarter_turns, mirrored });
            assert_eq!(geometry.display, SIZE);
            let overlay = draw(&[(place, [1.0; 3], 1.0)], &geometry, Style::Mask);
            for y in (0..SIZE[1]).step_by(3) {
                for x in (0..SIZE[0]).step_by(3) {
                    let at = geometry.to_coded.transform_point2([f64::from(x), f64::from(y)].into()).round();
                    let found = pixel(&overlay, at.x as u32, at.y as u32)[3];
                    let expected = pixel(&shown, x, y)[3];
                    assert!(found.abs_diff(expected) <= 40, "{quarter_turns} {mirrored} {x},{y}: {found} {expected}");
                }
            }
        }
    }
}

#[test]
fn nothing_is_cut_at_the_rectangle() {
    let overlay = draw(&[([0.1, 0.05, 3.0], [1.0; 3], 1.0)], &upright(), Style::Mask);
    let Rect { x, y, width, height } = overlay.rect;
    assert!(width > 0 && height > 0 && x + width <= SIZE[0] && y + height <= SIZE[1]);
    for column in x..x + width {
        assert_eq!([pixel(&overlay, column, y)[3], pixel(&overlay, column, y + height - 1)[3]], [0, 0]);
    }
    for row in y..y + height {
        assert_eq!([pixel(&overlay, x, row)[3], pixel(&overlay, x + width - 1, row)[3]], [0, 0]);
    }
}

#[test]
fn bodies_beside_behind_and_through_the_camera() {
    for nobody in [[0.0, 0.0, -3.0], [9.0, 0.0, 3.0], [f32::NAN, 0.0, 3.0], [0.0, -20.0, 4.0]] {
        let overlay = draw(&[(nobody, [1.0; 3], 1.0)], &upright(), Style::Overlay);
        assert_eq!((overlay.rect.width, overlay.rgba.len()), (0, 0), "{nobody:?}");
    }
    // The capsule reaches past the camera on the right: what is left of it must not be smeared over the whole picture.
    let overlay = draw(&[([0.3, 0.0, 0.1], [1.0; 3], 1.0)], &upright(), Style::Mask);
    assert_eq!(overlay.rgba.len(), (overlay.rect.width * overlay.rect.height * 4) as usize);
    assert_eq!(pixel(&overlay, 2, 119)[3], 0);
    assert_eq!(pixel(&overlay, 317, 119)[3], 255);
}

#[test]
fn several_jobs_share_the_thread() {
    let alone = draw(&[([0.0, 0.0, 3.0], [0.5; 3], 1.0)], &upright(), Style::Overlay);
    std::thread::scope(|scope| {
        for job in 0..3 {
            let alone = &alone;
            scope.spawn(move || {
                for _ in 0..5 {
                    let other = [0.1 * job as f32, 0.0, 2.0 + job as f32];
                    draw(&[(other, [1.0; 3], 1.0)], &upright(), Style::Mask);
                    assert!(draw(&[([0.0, 0.0, 3.0], [0.5; 3], 1.0)], &upright(), Style::Overlay) == *alone);
                }
            });
        }
    });
    assert!(renderer().capacity() > 0 && renderer().queued() <= renderer().capacity());
}

#[test]
fn a_frame_larger_than_the_device_is_an_error_and_the_thread_lives_on() {
    let (mesh, shape) = capsule();
    let joints = [at([0.0, 0.0, 1.0]); 2];
    let person = Person { shape: &shape, bend: None, joints: &joints, confidence: &[1.0; 2], color: [1.0; 3] };
    let geometry = Geometry::new([200_000, 64], 1.0, Orientation::default());
    let camera = Camera { focal: [400_000.0, 400_000.0], center: [100_000.0, 32.0] };
    let scene = Scene::build(&mesh, &[person], &camera, &geometry, Style::Mask).expect("scene");
    let error = renderer().request(scene).expect("thread").wait().expect_err("too large");
    assert!(error.to_string().contains("at most"), "{error}");
    self_test(&renderer()).expect("still draws");
}

#[test]
fn damaged_meshes_are_refused() {
    let good = MeshData {
        vertices: vec![[0.0; 3]; 3],
        faces: vec![[0, 1, 2]],
        skin_indices: vec![[0; 4]; 3],
        skin_weights: vec![[1.0; 4]; 3],
        ..MeshData::default()
    };
    assert!(Mesh::new(MeshData { faces: vec![[0, 1, 3]], ..good.clone() }).is_err());
    assert!(Mesh::new(MeshData { skin_weights: vec![], ..good.clone() }).is_err());
    assert!(Mesh::new(MeshData { vertices: vec![], ..good.clone() }).is_err());
    let mesh = Mesh::new(good).expect("good");
    assert!(Shape::new(&mesh, &[[0.0; 3]; 2]).is_err());
}

const LAYOUTS: [(u8, u8, u8); 7] = [(8, 1, 1), (8, 1, 0), (8, 0, 0), (8, 2, 0), (10, 1, 1), (12, 0, 0), (16, 1, 1)];

/// Noise that never repeats by chance, with odd sizes where a border sample covers fewer pixels.
fn noise(layout: Layout, size: [u32; 2]) -> Frame {
    let mut state = 1u32;
    let mut plane = |sx: u8, sy: u8| -> Vec<u8> {
        let samples = size[0].div_ceil(1 << sx) * size[1].div_ceil(1 << sy);
        (0..samples)
            .flat_map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let value = ((state >> 16) & ((1u32 << layout.depth) - 1)) as u16;
                value.to_ne_bytes()[..layout.bytes_per_sample()].to_vec()
            })
            .collect()
    };
    let (sx, sy) = (layout.chroma_shift_x, layout.chroma_shift_y);
    let planes = [plane(0, 0), plane(sx, sy), plane(sx, sy)];
    Frame::from_planes(size, layout, &planes.concat(), 0, 0.0).expect("a known layout")
}

fn sample(frame: &Frame, plane: usize, x: usize, y: usize) -> u32 {
    let bytes = frame.layout().bytes_per_sample();
    let plane = frame.plane(plane);
    let at = &plane.data[y * plane.stride + x * bytes..];
    if bytes == 1 { u32::from(at[0]) } else { u32::from(u16::from_ne_bytes([at[0], at[1]])) }
}

/// Opacity between nothing and all, in a rectangle with odd edges.
fn patch() -> Overlay {
    let rect = Rect { x: 5, y: 3, width: 46, height: 38 };
    let mut rgba = Vec::new();
    for y in 0..rect.height {
        for x in 0..rect.width {
            let a = if (x + y) % 7 < 3 || x < 4 { 0 } else { 40 + (x * 3 + y * 2) % 216 };
            rgba.extend([a, a * x / 46, a * y / 38, a].map(|v| v as u8));
        }
    }
    Overlay { rect, rgba }
}

#[test]
fn blending_matches_the_formula_and_leaves_the_rest_alone() {
    let size = [51usize, 41];
    for (depth, sx, sy) in LAYOUTS {
        for range in [Range::Limited, Range::Full] {
            let layout = Layout { depth, chroma_shift_x: sx, chroma_shift_y: sy };
            let color = Color { matrix: Matrix::Bt709, range };
            let before = noise(layout, size.map(|v| v as u32));
            let mut after = noise(layout, size.map(|v| v as u32));
            let overlay = patch();
            blend(&mut after, &overlay, [0; 2], color);
            let max = f64::from((1u32 << depth) - 1);
            for (plane, row) in color.rgb_to_yuv(depth).iter().enumerate() {
                let (sx, sy) = if plane == 0 { (0, 0) } else { (sx, sy) };
                for y in 0..size[1].div_ceil(1 << sy) {
                    for x in 0..size[0].div_ceil(1 << sx) {
                        let (mut mean, mut count) = ([0.0f64; 4], 0.0);
                        for py in (y << sy)..((y + 1) << sy).min(size[1]) {
                            for px in (x << sx)..((x + 1) << sx).min(size[0]) {
                                count += 1.0;
                                let p = pixel(&overlay, px as u32, py as u32);
                                mean.iter_mut().zip(p).for_each(|(m, v)| *m += f64::from(v) / 255.0);
                            }
                        }
                        let mean = mean.map(|m| m / count);
                        let (old, new) = (sample(&before, plane, x, y), sample(&after, plane, x, y));
                        if mean[3] == 0.0 {
                            assert_eq!(old, new, "{layout:?} plane {plane} at {x},{y} was touched");
                        }
                        let drawn: f64 = (0..4).map(|i| mean[i] * f64::from(row[i])).sum();
                        let truth = (f64::from(old) * (1.0 - mean[3]) + drawn).clamp(0.0, max);
                        assert!((f64::from(new) - truth).abs() < 0.51, "{layout:?} {plane} {x},{y}: {new} {truth}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_mask_is_white_on_black_in_the_range_of_the_video() {
    for (depth, sx, sy) in LAYOUTS {
        for (range, [black, white]) in [(Range::Limited, [16, 235]), (Range::Full, [0, 255])] {
            let layout = Layout { depth, chroma_shift_x: sx, chroma_shift_y: sy };
            let mut frame = noise(layout, [51, 41]);
            let rect = Rect { x: 8, y: 8, width: 16, height: 16 };
            let color = Color { matrix: Matrix::Bt601, range };
            fill(&mut frame, Rect { x: 0, y: 0, width: 51, height: 41 }, [0.0; 3], color);
            blend(&mut frame, &Overlay { rect, rgba: vec![255; 16 * 16 * 4] }, [0; 2], color);
            let code = |v: u32| if range == Range::Full && v == 255 { (1 << depth) - 1 } else { v << (depth - 8) };
            assert_eq!(sample(&frame, 0, 50, 40), code(black));
            assert_eq!(sample(&frame, 0, 10, 10), code(white));
            for plane in [1, 2] {
                let neutral = 128 << (depth - 8);
                assert_eq!(sample(&frame, plane, 0, 0), neutral);
                assert!(sample(&frame, plane, 10 >> sx, 10 >> sy).abs_diff(neutral) <= 1);
            }
        }
    }
}

#[test]
fn a_part_of_a_frame_is_dimmed_and_the_rest_left_alone() {
    for (depth, sx, sy) in LAYOUTS {
        let layout = Layout { depth, chroma_shift_x: sx, chroma_shift_y: sy };
        let color = Color { matrix: Matrix::Bt709, range: Range::Limited };
        let (before, mut after) = (noise(layout, [51, 41]), noise(layout, [51, 41]));
        dim(&mut after, Rect { x: 16, y: 8, width: 35, height: 33 }, 0.5, color);
        for (plane, row) in color.rgb_to_yuv(depth).iter().enumerate() {
            let (sx, sy) = if plane == 0 { (0, 0) } else { (sx, sy) };
            for (y, x) in (0..41 >> sy).flat_map(|y| (0..51 >> sx).map(move |x| (y, x))) {
                let old = sample(&before, plane, x, y) as f32;
                let is_inside = x >= 16 >> sx && y >= 8 >> sy;
                let expected = if is_inside { (old + row[3]) / 2.0 } else { old };
                assert!((sample(&after, plane, x, y) as f32 - expected).abs() < 0.51, "{layout:?} {plane} {x},{y}");
            }
        }
    }
}

#[test]
fn an_overlay_that_does_not_fit_the_frame_is_clipped() {
    let layout = Layout { depth: 8, chroma_shift_x: 1, chroma_shift_y: 1 };
    let color = Color { matrix: Matrix::Bt601, range: Range::Limited };
    let mut frame = noise(layout, [20, 20]);
    blend(&mut frame, &patch(), [0; 2], color);
    blend(&mut frame, &Overlay { rect: Rect { x: 30, y: 0, width: 1, height: 1 }, rgba: vec![255; 4] }, [0; 2], color);
    blend(&mut frame, &Overlay { rect: Rect { x: 0, y: 0, width: 9, height: 9 }, rgba: vec![255; 4] }, [0; 2], color);
}

#[test]
fn lines_have_smooth_edges_and_lie_over_bodies() {
    let mut over = Sketch::default();
    let ends = [Vec2::new(40.0, 120.0), Vec2::new(280.0, 120.0)];
    over.line(ends, [6.0; 2], Paint::solid([1.0, 0.0, 0.0]));
    let mut under = Sketch::default();
    under.disc(Vec2::new(160.0, 120.0), 60.0, Paint { color: [0.0, 0.0, 1.0], opacity: 0.5 });
    let (mesh, shape) = capsule();
    let joints = [at([0.0, 0.0, 3.0]); 2];
    let person = Person { shape: &shape, bend: None, joints: &joints, confidence: &[1.0; 2], color: [0.5; 3] };
    let scene = Scene::build(&mesh, &[person], &camera(), &upright(), Style::Mask).expect("scene");
    let scene = scene.with_under(&under).with_over(&over);
    let overlay = renderer().request(scene).expect("thread").wait().expect("drawn").overlay;
    // In the line, on its edge (which cuts a pixel in half), in the disc alone, in the body over the disc, beside everything.
    let close = |a: [u8; 4], b: [u8; 4]| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 3);
    assert!(close(pixel(&overlay, 160, 119), [255, 0, 0, 255]));
    let edge = pixel(&overlay, 60, 114);
    assert!(edge[3].abs_diff(128) < 20 && edge[0] == edge[3], "{edge:?}");
    assert!(close(pixel(&overlay, 110, 135), [0, 0, 128, 128]), "{:?}", pixel(&overlay, 110, 135));
    assert!(close(pixel(&overlay, 160, 140), [255; 4]), "{:?}", pixel(&overlay, 160, 140));
    assert_eq!(pixel(&overlay, 10, 10), [0; 4]);
}

#[test]
fn a_stopped_thread_is_an_error_not_a_hang() {
    let thread = RenderThread::start().expect("OpenGL");
    let renderer = thread.renderer();
    self_test(&renderer).expect("draws");
    drop(thread);
    assert!(matches!(self_test(&renderer), Err(RenderError::Stopped)));
}
