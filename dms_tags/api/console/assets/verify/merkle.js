// RFC 9162 (section 2.1) Merkle trees over SHA-256: what a run of entries, or the proof of one, leads to.
// Sizes may go beyond 32 bits, so they are divided and not shifted.

import { joined, same } from "./bytes.js";
import { sha256 } from "./sha256.js";

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** What does not hold, or is malformed; the message is the line that says what is wrong. */
export class Unproven extends Error {}

/** The hash of the leaf `data`. */
export function leafHash(data) {
  return sha256(LEAF, data);
}

/** The hash of the node above two. */
export function nodeHash(left, right) {
  return sha256(joined(NODE, left, right));
}

/** The right edge of a growing tree: enough to append, and to tell the root at any time. */
export class Frontier {
  constructor() {
    this.size = 0;
    this.hashes = [];
  }

  /** Appends a leaf's hash, or that of a perfect subtree of `height`. */
  append(digest, height = 0) {
    const width = 2 ** height;
    if (this.size % width) throw new Unproven(`a subtree of height ${height} cannot stand at leaf ${this.size}`);
    for (let filled = this.size / width; filled % 2 === 1; filled = Math.floor(filled / 2)) digest = nodeHash(this.hashes.pop(), digest);
    this.hashes.push(digest);
    this.size += width;
  }

  /** The root of the tree as it stands. */
  root() {
    if (!this.hashes.length) return sha256();
    return this.hashes.reduceRight((right, left) => nodeHash(left, right));
  }
}

/** The fewest perfect subtrees, left to right, over the leaves `begin … end`, end excluded: their heights. */
export function covering(begin, end) {
  const heights = [];
  while (begin < end) {
    let height = 0;
    while (begin % 2 ** (height + 1) === 0 && begin + 2 ** (height + 1) <= end) height++;
    heights.push(height);
    begin += 2 ** height;
  }
  return heights;
}

/** The tree's root from a run of neighbouring leaves and what stands left and right of them. */
export class RangeProof {
  constructor(begin, left) {
    this.frontier = new Frontier();
    this.appendAll(covering(0, begin), left);
  }

  append(leaf) {
    this.frontier.append(leaf);
  }

  /** The root of the tree that ends with the leaf appended last. */
  rootSoFar() {
    return this.frontier.root();
  }

  /** The root of the tree of `size` leaves, of which `right` stands behind those appended; the last call of all. */
  root(size, right) {
    this.appendAll(covering(this.frontier.size, size), right);
    return this.frontier.root();
  }

  appendAll(heights, hashes) {
    if (heights.length !== hashes.length) {
      throw new Unproven(`the range proof has ${hashes.length} hashes where ${heights.length} are needed`);
    }
    heights.forEach((height, at) => this.frontier.append(hashes[at], height));
  }
}

/** Throws Unproven unless `proof` leads from the leaf's hash to the root (RFC 9162, 2.1.3.2). */
export function verifyInclusion(leaf, index, size, proof, root) {
  if (!(index >= 0 && index < size)) throw new Unproven(`there is no leaf ${index} in a tree of ${size}`);
  let position = index;
  let last = size - 1;
  let digest = leaf;
  const up = () => {
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  };
  for (const sibling of proof) {
    if (last === 0) throw new Unproven("the inclusion proof is too long");
    if (position % 2 === 1 || position === last) {
      digest = nodeHash(sibling, digest);
      while (position % 2 === 0 && position) up();
    } else {
      digest = nodeHash(digest, sibling);
    }
    up();
  }
  if (last) throw new Unproven("the inclusion proof is too short");
  if (!same(digest, root)) throw new Unproven("the inclusion proof does not lead to the root");
}
