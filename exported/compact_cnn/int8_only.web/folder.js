// Read the folder of an export, and hold its files to the manifest.

import { ArtifactError, FmnistEdgeError, InputError, UnavailableError, shown } from "./errors.js";

const SCHEMA = 1;
export const MANIFEST = "manifest.json";

export function reader(url, given) {
  let base;
  try {
    base = new URL(String(url), globalThis.location?.href);
  } catch {
    throw new InputError(
      `url is ${shown(url)}; expected the URL of an exported folder, such as new URL("./model/", import.meta.url)`,
    );
  }
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  const read = async (name) => {
    const from = new URL(name, base);
    let content;
    try {
      content = from.protocol === "file:" && !given ? await fromDisk(from) : await fetched(given ?? fetch, from);
    } catch (error) {
      throw error instanceof FmnistEdgeError ? error : new ArtifactError(`${from}: cannot be read (${error.message})`);
    }
    read.bytes += content.length;
    return content;
  };
  read.bytes = 0;
  return read;
}

async function fromDisk(url) {
  const { readFile } = await import("node:fs/promises");
  return new Uint8Array(await readFile(url));
}

async function fetched(get, url) {
  const response = await get(url);
  if (!response.ok)
    throw new ArtifactError(`${url}: the server answers ${response.status}; copy the whole folder there`);
  return new Uint8Array(await response.arrayBuffer());
}

export function parsed(content) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
  } catch (error) {
    throw new ArtifactError(`${MANIFEST}: not a readable manifest (${error.message}); export the model again`);
  }
}

export function checkManifest(manifest) {
  if (manifest?.schema !== SCHEMA) {
    throw new ArtifactError(`${MANIFEST}: schema is ${shown(manifest?.schema)}, this version reads ${SCHEMA}`);
  }
  const { contract, files } = manifest;
  const shape = contract?.input_shape;
  const sound =
    Array.isArray(shape) && shape.length === 3 && Array.isArray(contract.labels) && typeof files === "object";
  if (contract?.task === "tensor") {
    throw new ArtifactError("the model's task is tensor, so it has no labels; the web form is for labels");
  }
  if (!sound || contract.dtype === "float32") {
    throw new ArtifactError(`${MANIFEST}: its contract is not one of images with labels; export the model again`);
  }
}

/** The content of a file, whose SHA-256 must be the manifest's. */
export async function checked(read, manifest, name) {
  const content = await read(name);
  const [found, expected] = [await sha256Of(content), manifest.files[name]];
  if (found !== expected) {
    const want = String(expected).slice(0, 12);
    throw new ArtifactError(
      `${name}: SHA-256 is ${found.slice(0, 12)}…, expected ${want}…; it was truncated or altered, export it again`,
    );
  }
  return content;
}

export async function sha256Of(content) {
  const digest = globalThis.crypto?.subtle
    ? new Uint8Array(await crypto.subtle.digest("SHA-256", content))
    : sha256(content); // pages that are neither https nor localhost have no SubtleCrypto
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** SHA-256 (FIPS 180-4): the first 32 bits of the fractions of the cube and square roots of the first primes. */
function sha256(content) {
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime)) primes.push(n);
  const fraction = (value) => ((value - Math.floor(value)) * 0x100000000) | 0;
  const constants = primes.map((prime) => fraction(Math.cbrt(prime)));
  const state = primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
  const padded = new Uint8Array(Math.ceil((content.length + 9) / 64) * 64);
  padded.set(content);
  padded[content.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(content.length / 0x20000000));
  view.setUint32(padded.length - 4, content.length * 8);
  const turn = (value, bits) => (value >>> bits) | (value << (32 - bits));
  const words = new Int32Array(64);
  for (let at = 0; at < padded.length; at += 64) {
    for (let i = 0; i < 64; i++) {
      if (i < 16) {
        words[i] = view.getInt32(at + 4 * i);
        continue;
      }
      const [a, b] = [words[i - 15], words[i - 2]];
      const [s0, s1] = [turn(a, 7) ^ turn(a, 18) ^ (a >>> 3), turn(b, 17) ^ turn(b, 19) ^ (b >>> 10)];
      words[i] = words[i - 16] + s0 + words[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
      const one = (h + s1 + ((e & f) ^ (~e & g)) + constants[i] + words[i]) | 0;
      const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
      const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => (state[i] = (state[i] + value) | 0));
  }
  const digest = new DataView(new ArrayBuffer(32));
  state.forEach((value, i) => digest.setInt32(4 * i, value));
  return new Uint8Array(digest.buffer);
}

/** An array of the manifest: zlib, base64. */
export async function unpacked({ zlib_base64: text }, Kind) {
  if (typeof DecompressionStream === "undefined") {
    throw new UnavailableError("this browser cannot unpack the golden vectors; it is older than 2023");
  }
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Kind(await new Response(stream).arrayBuffer());
}
