"use strict";
// The bodies in three dimensions: a camera that is turned by hand, WebGL that skins and lights them, and a skeleton where there is no WebGL.

const FIELD = 0.5; // radians from the top of the picture to its bottom
const NEAR = 0.05;
const TURN = { front: [0, 0.03], side: [Math.PI / 2, 0.03], top: [0, Math.PI / 2] };
const LOWEST = -0.1; // how far the camera may go below the horizon, radians

const BODY_VERTEX = (bones) => `#version 300 es
layout(location = 0) in vec3 place;
layout(location = 1) in vec3 normal;
layout(location = 2) in uvec4 joints;
layout(location = 3) in vec4 weights;
layout(location = 4) in vec4 tone;
uniform vec4 bones[${bones}];
uniform mat4 clip;
uniform mat3 turn;
uniform bool shadow;
out vec3 at_view;
out float up;
out vec4 fragment_tone;
void main() {
  vec4 rows[3] = vec4[3](vec4(0), vec4(0), vec4(0));
  float total = max(dot(weights, vec4(1)), 1e-6);
  for (int i = 0; i < 4; i += 1) {
    int bone = int(joints[i]) * 3;
    for (int r = 0; r < 3; r += 1) rows[r] += bones[bone + r] * (weights[i] / total);
  }
  vec4 p = vec4(place, 1.0);
  vec3 world = vec3(dot(rows[0], p), dot(rows[1], p), dot(rows[2], p));
  vec3 n = normalize(vec3(dot(rows[0].xyz, normal), dot(rows[1].xyz, normal), dot(rows[2].xyz, normal)));
  if (shadow) world = vec3(world.x + 0.12 * world.y, 0.003, world.z - 0.08 * world.y);
  at_view = turn * n;
  up = n.y;
  fragment_tone = tone;
  gl_Position = clip * vec4(world, 1.0);
}`;

// The light and the tones of the video's bodies (src/render/painter.rs).
const BODY_FRAGMENT = `#version 300 es
precision highp float;
in vec3 at_view;
in float up;
in vec4 fragment_tone;
uniform vec3 color;
uniform vec3 paper;
uniform float faint;
uniform float slope;
uniform bool shadow;
out vec4 pixel;
const float REACH = 0.127;
float tone() {
  float metre = slope / gl_FragCoord.w;
  float blur = max(0.5 * metre, 0.001);
  float half_width = max(0.008, 0.65 * metre);
  float seam = fragment_tone.x * REACH;
  float limb = smoothstep(-blur, blur, -fragment_tone.y * REACH);
  float second = mix(1.0, 0.8, limb * smoothstep(-blur, blur, -seam));
  float right = mix(1.0, 0.88, limb * clamp(-fragment_tone.w, 0.0, 1.0));
  float back = mix(1.0, 0.5, (1.0 - limb) * smoothstep(-0.15, 0.15, fragment_tone.z));
  float line = mix(0.33, 1.0, smoothstep(half_width - blur, half_width + blur, abs(seam)));
  return min(second * right * back, line);
}
void main() {
  if (shadow) { pixel = vec4(0.0, 0.0, 0.0, 0.22); return; }
  vec3 n = normalize(at_view);
  float key = max((dot(n, vec3(-0.477, 0.668, 0.573)) + 0.2) / 1.2, 0.0);
  float sky = 0.5 + 0.5 * up;
  float away = 1.0 - clamp(n.z, 0.0, 1.0);
  float light = 0.2 + 0.26 * sky + 0.72 * key;
  float t = tone();
  vec3 albedo = color * color * t;
  vec3 shaded = sqrt(min(albedo * light + 0.14 * away * away * away * sky * t, vec3(1.0)));
  pixel = vec4(mix(shaded, paper, faint), 1.0);
}`;

const FLOOR_VERTEX = `#version 300 es
uniform mat4 clip;
uniform vec3 middle;
uniform float radius;
out vec2 at;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
  at = middle.xz + corner * radius;
  gl_Position = clip * vec4(at.x, 0.0, at.y, 1.0);
}`;

const FLOOR_FRAGMENT = `#version 300 es
precision highp float;
in vec2 at;
uniform vec3 middle;
uniform float radius;
uniform vec3 ink;
out vec4 pixel;
float lines(vec2 p, float width) {
  vec2 near = abs(fract(p - 0.5) - 0.5) / fwidth(p);
  return 1.0 - clamp(min(near.x, near.y) - width + 0.5, 0.0, 1.0);
}
void main() {
  float fade = 1.0 - smoothstep(0.35, 1.0, length(at - middle.xz) / radius);
  float line = max(lines(at, 0.7) * 0.34, lines(at * 2.0, 0.5) * 0.12);
  pixel = vec4(ink * (line * fade), line * fade);
}`;

/** A 4 x 4 matrix times another, both by columns. */
function product(a, b) {
  const out = new Float32Array(16);
  for (let c = 0; c < 4; c += 1)
    for (let r = 0; r < 4; r += 1)
      for (let i = 0; i < 4; i += 1) out[4 * c + r] += a[4 * i + r] * b[4 * c + i];
  return out;
}

/** Where the bodies are looked at from. */
class Camera {
  constructor() {
    [this.yaw, this.pitch] = TURN.front;
    this.target = [0, 1, 0];
    this.distance = 5;
    this.size = [1, 1];
  }

  /** Right, up and towards the camera. */
  axes() {
    const [sy, cy, sp, cp] = [Math.sin(this.yaw), Math.cos(this.yaw), Math.sin(this.pitch), Math.cos(this.pitch)];
    return [[cy, 0, -sy], [-sy * sp, cp, -cy * sp], [sy * cp, sp, cy * cp]];
  }

  matrix() {
    const [right, up, back] = this.axes();
    const rows = [right, up, back].map((axis) => [...axis, -axis.reduce((sum, v, i) => sum + v * this.target[i], 0)]);
    rows[2][3] -= this.distance;
    const view = new Float32Array(16);
    rows.forEach((row, r) => row.forEach((v, c) => (view[4 * c + r] = v)));
    view[15] = 1;
    const [far, f] = [this.distance + 200, 1 / Math.tan(FIELD / 2)];
    const lens = new Float32Array(16);
    lens[0] = (f * this.size[1]) / this.size[0];
    lens[5] = f;
    lens[10] = -(far + NEAR) / (far - NEAR);
    lens[11] = -1;
    lens[14] = (-2 * far * NEAR) / (far - NEAR);
    return product(lens, view);
  }

  /** Where a point is in the picture (pixels from the top left) and how far away; nothing behind the camera. */
  project(x, y, z, matrix) {
    const at = (r) => matrix[r] * x + matrix[4 + r] * y + matrix[8 + r] * z + matrix[12 + r];
    const w = at(3);
    if (w < NEAR) return null;
    return [((at(0) / w + 1) / 2) * this.size[0], ((1 - at(1) / w) / 2) * this.size[1], w];
  }

  /** Moves so far away that a box round the target (half sizes) is in the picture. */
  fit(half) {
    const narrow = Math.min(1, this.size[0] / this.size[1]);
    const [right, up, back] = this.axes().map((axis) => axis.reduce((sum, v, i) => sum + Math.abs(v) * half[i], 0));
    const tangent = Math.tan(FIELD / 2);
    const wide = right / ((tangent * this.size[0]) / this.size[1]);
    this.distance = Math.max(1.2 / narrow, Math.max(up / tangent, wide) * 1.08 + back);
  }
}

/** Draws bodies by WebGL. */
class Painter {
  /** Nothing where WebGL does not do. */
  static on(canvas, motion) {
    const gl = canvas.getContext("webgl2", { antialias: true, alpha: true, stencil: true, premultipliedAlpha: true });
    if (!gl || gl.isContextLost()) return null;
    const bones = 3 * Math.max(1, ...motion.people.map((person) => person.joints.length));
    if (bones + 16 > gl.getParameter(gl.MAX_VERTEX_UNIFORM_VECTORS)) return null;
    try {
      return new Painter(gl, motion, bones);
    } catch (error) {
      console.warn(error);
      return null;
    }
  }

  constructor(gl, motion, bones) {
    this.gl = gl;
    this.body = this.program(BODY_VERTEX(bones), BODY_FRAGMENT);
    this.floor = this.program(FLOOR_VERTEX, FLOOR_FRAGMENT);
    const buffers = new Map();
    this.people = motion.people.map((person) => this.bodyOf(person, motion, buffers));
  }

  program(vertex, fragment) {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) || "WebGL failed");
    const places = {};
    for (let i = 0; i < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); i += 1) {
      const name = gl.getActiveUniform(program, i).name.replace("[0]", "");
      places[name] = gl.getUniformLocation(program, name);
    }
    return { program, places };
  }

  /** The surface of a person: what people share is given to the graphics card once. */
  bodyOf({ mesh }, motion, buffers) {
    const { gl } = this;
    const buffer = (accessor, target) => {
      if (!buffers.has(accessor)) {
        const made = gl.createBuffer();
        gl.bindBuffer(target, made);
        gl.bufferData(target, motion.read(accessor), gl.STATIC_DRAW);
        buffers.set(accessor, made);
      }
      gl.bindBuffer(target, buffers.get(accessor));
    };
    const list = gl.createVertexArray();
    gl.bindVertexArray(list);
    const { POSITION, NORMAL, JOINTS_0, WEIGHTS_0, _TONE } = mesh.attributes;
    [POSITION, NORMAL, JOINTS_0, WEIGHTS_0, _TONE].forEach((accessor, i) => {
      if (accessor === undefined) {
        gl.vertexAttrib4f(i, 1, 1, -1, 0);
        return;
      }
      buffer(accessor, gl.ARRAY_BUFFER);
      const { componentType, type, normalized } = motion.json.accessors[accessor];
      gl.enableVertexAttribArray(i);
      if (i === 2) gl.vertexAttribIPointer(i, SIZES[type], componentType, 0, 0);
      else gl.vertexAttribPointer(i, SIZES[type], componentType, Boolean(normalized), 0, 0);
    });
    buffer(mesh.indices, gl.ELEMENT_ARRAY_BUFFER);
    const { count, componentType } = motion.json.accessors[mesh.indices];
    gl.bindVertexArray(null);
    return { list, count, kind: componentType };
  }

  /** Draws some people: `{ index, bones, color, faint }` each. */
  draw(camera, people, { paper, ink, hasFloor, middle, radius }) {
    const { gl } = this;
    const clip = camera.matrix();
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT | gl.STENCIL_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    if (hasFloor) {
      const { program, places } = this.floor;
      gl.disable(gl.DEPTH_TEST);
      gl.useProgram(program);
      gl.uniformMatrix4fv(places.clip, false, clip);
      gl.uniform3fv(places.middle, middle);
      gl.uniform1f(places.radius, radius);
      gl.uniform3fv(places.ink, ink);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
    const { program, places } = this.body;
    gl.useProgram(program);
    gl.uniformMatrix4fv(places.clip, false, clip);
    const [right, up, back] = camera.axes();
    gl.uniformMatrix3fv(places.turn, false, [0, 1, 2].flatMap((i) => [right[i], up[i], back[i]]));
    gl.uniform1f(places.slope, (2 * Math.tan(FIELD / 2)) / gl.drawingBufferHeight);
    gl.uniform3fv(places.paper, paper);
    const each = (isShadow) => {
      gl.uniform1i(places.shadow, isShadow);
      for (const { index, bones, color, faint } of people) {
        const { list, count, kind } = this.people[index];
        gl.uniform4fv(places.bones, bones);
        gl.uniform3fv(places.color, color);
        gl.uniform1f(places.faint, faint);
        gl.bindVertexArray(list);
        gl.drawElements(gl.TRIANGLES, count, kind, 0);
      }
    };
    if (hasFloor) {
      // Each pixel is darkened once, however many limbs are above it.
      gl.enable(gl.STENCIL_TEST);
      gl.stencilFunc(gl.EQUAL, 0, 255);
      gl.stencilOp(gl.KEEP, gl.KEEP, gl.INCR);
      each(true);
      gl.disable(gl.STENCIL_TEST);
    }
    gl.enable(gl.DEPTH_TEST);
    gl.disable(gl.BLEND);
    each(false);
    gl.bindVertexArray(null);
  }
}

/** Draws skeletons on a plain canvas: `{ person, color, faint }` each, the farthest first. */
function drawSkeletons(context, camera, people, floor, palette, ratio) {
  const matrix = camera.matrix();
  const line = (a, b) => {
    const [from, to] = [camera.project(...a, matrix), camera.project(...b, matrix)];
    if (!from || !to) return;
    context.moveTo(from[0], from[1]);
    context.lineTo(to[0], to[1]);
  };
  if (floor.hasFloor) {
    const [x, , z] = floor.middle.map(Math.round);
    const reach = Math.min(20, Math.ceil(floor.radius / 2));
    context.strokeStyle = palette.line;
    context.lineWidth = ratio;
    context.beginPath();
    for (let i = -reach; i <= reach; i += 1) {
      line([x + i, 0, z - reach], [x + i, 0, z + reach]);
      line([x - reach, 0, z + i], [x + reach, 0, z + i]);
    }
    context.stroke();
  }
  const depth = ({ person }) => camera.project(...person.places.subarray(0, 3), matrix)?.[2] ?? 0;
  const bone = (2 * Math.tan(FIELD / 2) * 1) / camera.size[1];
  for (const entry of [...people].sort((a, b) => depth(b) - depth(a))) {
    const { person, color, faint } = entry;
    const width = Math.max(1.5 * ratio, 0.045 / (bone * Math.max(depth(entry), 0.1)));
    context.globalAlpha = 1 - faint;
    context.lineCap = "round";
    for (const [style, wide] of [[palette.edge, width + 2 * ratio], [color, width]]) {
      context.strokeStyle = style;
      context.lineWidth = wide;
      context.beginPath();
      person.joints.forEach(({ parent }, j) => {
        if (parent >= 0) line(person.places.subarray(3 * parent, 3 * parent + 3), person.places.subarray(3 * j, 3 * j + 3));
      });
      context.stroke();
    }
    context.globalAlpha = 1;
  }
}
