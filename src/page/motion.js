"use strict";
// The motion in the page: reads the glb, and tells where everybody's joints are at a time.

/** The bytes that a text in base64 stands for. */
function bytesOf(text) {
  const letters = text.trim();
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(letters);
  const raw = atob(letters);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

const SIZES = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4, MAT4: 16 };
const KINDS = { 5120: Int8Array, 5121: Uint8Array, 5122: Int16Array, 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array };

/** Rotates a point by a quaternion (x, y, z, w from `q[at]` on), and writes it to `out` from `to` on. */
function rotate(q, at, x, y, z, out, to) {
  const [qx, qy, qz, qw] = [q[at], q[at + 1], q[at + 2], q[at + 3]];
  const tx = 2 * (qy * z - qz * y);
  const ty = 2 * (qz * x - qx * z);
  const tz = 2 * (qx * y - qy * x);
  out[to] = x + qw * tx + qy * tz - qz * ty;
  out[to + 1] = y + qw * ty + qz * tx - qx * tz;
  out[to + 2] = z + qw * tz + qx * ty - qy * tx;
}

/** The rotation that is `t` of the way from the quaternion at `a` to that at `b`, on the shortest way. */
function slerp(list, a, b, t, out, to) {
  let cosine = 0;
  for (let i = 0; i < 4; i += 1) cosine += list[a + i] * list[b + i];
  const sign = cosine < 0 ? -1 : 1;
  cosine = Math.min(1, Math.abs(cosine));
  let [from, into] = [1 - t, t];
  if (cosine < 0.9995) {
    const angle = Math.acos(cosine);
    [from, into] = [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)];
  }
  let length = 0;
  for (let i = 0; i < 4; i += 1) {
    out[to + i] = from * list[a + i] + sign * into * list[b + i];
    length += out[to + i] ** 2;
  }
  length = Math.sqrt(length) || 1;
  for (let i = 0; i < 4; i += 1) out[to + i] /= length;
}

/** The last of the rising `times` that is not after `time`; 0 before the first. */
function placeOf(times, time) {
  let [low, high] = [0, times.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Everybody's bodies and motion. */
class Motion {
  constructor(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (view.getUint32(0, true) !== 0x46546c67) throw new Error("the motion in this page is damaged");
    const length = view.getUint32(12, true);
    this.json = JSON.parse(new TextDecoder().decode(bytes.subarray(20, 20 + length)));
    this.numbers = bytes.subarray(20 + length + 8);
    const channels = this.json.animations[0].channels.map((channel) => ({
      ...channel.target,
      ...this.json.animations[0].samplers[channel.sampler],
    }));
    const parents = new Map();
    this.json.nodes.forEach((node, i) => (node.children ?? []).forEach((child) => parents.set(child, i)));
    this.people = this.json.skins.map((skin, index) => this.person(skin, index, channels, parents));
    this.everywhere = this.bounds(this.people);
  }

  /** The numbers of an accessor. */
  read(index) {
    const { bufferView, componentType, count, type } = this.json.accessors[index];
    const at = this.numbers.byteOffset + (this.json.bufferViews[bufferView].byteOffset ?? 0);
    const Kind = KINDS[componentType];
    const length = count * SIZES[type];
    // A copy: numbers need not lie at a multiple of their size in the page.
    return new Kind(this.numbers.buffer.slice(at, at + length * Kind.BYTES_PER_ELEMENT));
  }

  person(skin, index, channels, parents) {
    const places = new Map(skin.joints.map((node, joint) => [node, joint]));
    const nodes = skin.joints.map((node) => this.json.nodes[node]);
    const channelOf = (node, path) => channels.find((channel) => channel.node === node && channel.path === path);
    const read = (channel) => channel && { times: this.read(channel.input), values: this.read(channel.output) };
    const joints = skin.joints.map((node, joint) => ({
      name: nodes[joint].name,
      parent: places.get(parents.get(node)) ?? -1,
      rest: nodes[joint].translation ?? [0, 0, 0],
      rotation: read(channelOf(node, "rotation")),
    }));
    const { attributes, indices } = this.json.meshes[index].primitives[0];
    return {
      joints,
      root: read(channelOf(skin.joints[0], "translation")),
      seen: read(channelOf(parents.get(skin.joints[0]), "scale")),
      binds: this.read(skin.inverseBindMatrices),
      mesh: { attributes, indices },
      // Rotation and place of each joint, and what takes a vertex at rest to where it is: rows of 3 x 4.
      rotations: new Float64Array(4 * joints.length),
      places: new Float64Array(3 * joints.length),
      bones: new Float32Array(12 * joints.length),
    };
  }

  /** Whether somebody is in view at a time. */
  isSeen(person, time) {
    const { root, seen } = person;
    if (!root || root.times.length === 0) return false;
    // Whoever is there from the first frame to the last has no such channel.
    return !seen || (time >= seen.times[0] ? seen.values[3 * placeOf(seen.times, time)] > 0.5 : seen.values[0] > 0.5);
  }

  /** The poses before and after a time, and how much of the way from one to the other it is. */
  between({ root: { times } }, time) {
    const before = placeOf(times, time);
    const after = Math.min(before + 1, times.length - 1);
    const gap = times[after] - times[before];
    return [before, after, gap > 0 ? Math.min(1, Math.max(0, (time - times[before]) / gap)) : 0];
  }

  /** Where somebody's hips are at a time. */
  rootAt(person, time) {
    const [before, after, share] = this.between(person, time);
    const { values } = person.root;
    return [0, 1, 2].map((i) => values[3 * before + i] + (values[3 * after + i] - values[3 * before + i]) * share);
  }

  /** Puts somebody's joints where they are at a time, into `places` and `rotations`. */
  pose(person, time) {
    const [before, after, share] = this.between(person, time);
    const local = new Float64Array(4);
    const moved = new Float64Array(3);
    const { rotations, places } = person;
    person.joints.forEach(({ parent, rest, rotation }, j) => {
      if (rotation) slerp(rotation.values, 4 * before, 4 * after, share, local, 0);
      else local.set([0, 0, 0, 1]);
      if (parent < 0) {
        rotations.set(local, 4 * j);
        places.set(this.rootAt(person, time), 3 * j);
        return;
      }
      const p = 4 * parent;
      const [ax, ay, az, aw] = [rotations[p], rotations[p + 1], rotations[p + 2], rotations[p + 3]];
      const [bx, by, bz, bw] = local;
      rotations[4 * j] = aw * bx + ax * bw + ay * bz - az * by;
      rotations[4 * j + 1] = aw * by - ax * bz + ay * bw + az * bx;
      rotations[4 * j + 2] = aw * bz + ax * by - ay * bx + az * bw;
      rotations[4 * j + 3] = aw * bw - ax * bx - ay * by - az * bz;
      rotate(rotations, p, rest[0], rest[1], rest[2], moved, 0);
      for (let i = 0; i < 3; i += 1) places[3 * j + i] = places[3 * parent + i] + moved[i];
    });
  }

  /** What takes the vertices of somebody who was posed from rest to where they are. */
  bonesOf(person) {
    const column = new Float64Array(3);
    person.joints.forEach((_, j) => {
      for (let c = 0; c < 4; c += 1) {
        const at = 16 * j + 4 * c;
        rotate(person.rotations, 4 * j, person.binds[at], person.binds[at + 1], person.binds[at + 2], column, 0);
        for (let r = 0; r < 3; r += 1) {
          person.bones[12 * j + 4 * r + c] = column[r] + (c === 3 ? person.places[3 * j + r] : 0);
        }
      }
    });
    return person.bones;
  }

  /** Lowest and highest x, y and z of these people's hips over the clip. */
  bounds(people) {
    const low = [Infinity, Infinity, Infinity];
    const high = [-Infinity, -Infinity, -Infinity];
    for (const { root } of people) {
      for (let i = 0; root && i < root.values.length; i += 1) {
        low[i % 3] = Math.min(low[i % 3], root.values[i]);
        high[i % 3] = Math.max(high[i % 3], root.values[i]);
      }
    }
    return { low, high };
  }
}
