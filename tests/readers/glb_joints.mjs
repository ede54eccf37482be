// Opens a glb in three.js and prints, as JSON, where its joints, skinned vertices and camera are at given times.
//
//     node glb_joints.mjs FILE.glb < '{"times": [..], "vertices_at": [..]}'
//
// Also what gltf-validator says of the file. No browser is needed: the files have no pictures in them.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";

globalThis.self ??= globalThis;
const validator = createRequire(import.meta.url)("gltf-validator");

const bytes = readFileSync(process.argv[2]);
const asked = JSON.parse(readFileSync(0, "utf8"));
const report = await validator.validateBytes(new Uint8Array(bytes), { maxIssues: 20, format: "glb" });

const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
const gltf = await new GLTFLoader().parseAsync(buffer, "");
const json = gltf.parser.json;
const nodes = await Promise.all((json.nodes ?? []).map((_, i) => gltf.parser.getDependency("node", i)));
const skins = (json.skins ?? []).map((skin) => skin.joints.map((i) => nodes[i]));
const meshes = (json.nodes ?? []).flatMap((node, i) => (node.skin === undefined ? [] : [{ skin: node.skin, object: nodes[i] }]));

const mixer = new THREE.AnimationMixer(gltf.scene);
for (const clip of gltf.animations) {
  const action = mixer.clipAction(clip);
  action.setLoop(THREE.LoopOnce);
  action.clampWhenFinished = true;
  action.play();
}

function ancestors(object) {
  const list = [];
  for (let o = object; o; o = o.parent) list.push(o);
  return list;
}

const matrixOf = (object) => object.matrixWorld.toArray();
const position = new THREE.Vector3();

function poseAt(time) {
  for (const action of mixer._actions) {
    action.reset();
    action.paused = false;
    action.clampWhenFinished = true;
  }
  mixer.setTime(time);
  gltf.scene.updateMatrixWorld(true);
  return skins.map((joints) => ({
    joints: joints.map((joint) => position.setFromMatrixPosition(joint.matrixWorld).toArray()),
    scale: ancestors(joints[0])
      .filter((o) => o !== joints[0])
      .map((o) => o.scale.x),
  }));
}

function skinnedVertices() {
  return meshes.map(({ skin, object }) => {
    const mesh = object.isSkinnedMesh ? object : object.children.find((child) => child.isSkinnedMesh);
    mesh.skeleton.update();
    const count = mesh.geometry.attributes.position.count;
    const vertices = [];
    for (let v = 0; v < count; v += 1) vertices.push(mesh.getVertexPosition(v, new THREE.Vector3()).applyMatrix4(mesh.matrixWorld).toArray());
    return { skin, vertices };
  });
}

const frames = asked.times.map(poseAt);
const skinned = asked.vertices_at.map((time) => {
  poseAt(time);
  return skinnedVertices();
});
poseAt(0);
const camera = gltf.cameras[0];
camera?.updateProjectionMatrix();
const answer = {
  issues: report.issues,
  animations: gltf.animations.map((clip) => ({ name: clip.name, duration: clip.duration, tracks: clip.tracks.length })),
  people: skins.map((joints) => ({ names: joints.map((j) => j.userData.name ?? j.name), above: ancestors(joints[0]).map((o) => o.name) })),
  frames,
  skinned,
  camera: camera && { world: matrixOf(camera), projection: camera.projectionMatrix.toArray() },
};
process.stdout.write(JSON.stringify(answer));
