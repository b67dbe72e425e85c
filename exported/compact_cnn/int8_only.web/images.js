// Images of any kind as rows of pixels. Nothing is scaled here: the module does it, so that every browser gives the same.

import { InputError, UnavailableError, shown } from "./errors.js";

const LARGEST = 1 << 25; // pixels of an image, as in Python
const STRIP = 1 << 20; // pixels that are read from a canvas at once
const VALUES = [1, 3, 4]; // of a pixel

export function wrongSize(width, height) {
  const most = LARGEST.toLocaleString("en");
  return new InputError(
    `the image has ${width} x ${height} pixels; expected sides of 1 to 65,535 and ${most} pixels at most`,
  );
}

/** Decode an image. Returns a function that calls `put` with its rows, in one part or several, and does not wait. */
export async function ready(image) {
  if (typeof Blob !== "undefined" && image instanceof Blob) {
    const bitmap = await decoded(image);
    return (put) => {
      try {
        drawn(bitmap, bitmap.width, bitmap.height, put);
      } finally {
        bitmap.close();
      }
    };
  }
  if (image !== null && typeof image === "object" && ArrayBuffer.isView(image.data)) {
    const part = partOf(image);
    return (put) => put(part);
  }
  const [width, height] = sizeOf(image);
  return (put) => drawn(image, width, height, put);
}

/** What `put` takes, of an object like ImageData. */
function partOf({ data, width, height }) {
  checkSize(width, height);
  const values = data.length / (width * height);
  if (!VALUES.includes(values)) {
    throw new InputError(`image is ${data.length} values for ${width} x ${height}; expected 1, 3 or 4 of each pixel`);
  }
  return { width, height, rows: bytesOf(data), values, from: 0, count: height };
}

function bytesOf(data) {
  if (data instanceof Uint8Array || data instanceof Uint8ClampedArray) return data;
  if (!(data instanceof Float32Array || data instanceof Float64Array)) {
    throw new InputError(`image is ${data.constructor.name}; expected bytes (0..255) or floats (0..1)`);
  }
  const exact = data instanceof Float32Array ? Math.fround : (value) => value;
  return Uint8Array.from(data, (value) => {
    if (!Number.isFinite(value)) throw new InputError("image holds NaN or infinity; expected finite values in 0..1");
    if (value < -1e-3 || value > 1 + 1e-3) {
      throw new InputError(`image holds ${value}; expected floats in 0..1, or bytes in 0..255`);
    }
    return Math.min(255, Math.max(0, halfToEven(exact(value * 255))));
  });
}

function halfToEven(value) {
  const whole = Math.floor(value);
  const rest = value - whole;
  return rest > 0.5 || (rest === 0.5 && whole % 2) ? whole + 1 : whole;
}

function checkSize(width, height) {
  const whole = [width, height].every((side) => Number.isInteger(side) && side > 0);
  if (!whole || width * height > LARGEST) throw wrongSize(width, height);
}

function sizeOf(image) {
  const width = image?.displayWidth ?? image?.videoWidth ?? image?.naturalWidth ?? image?.width;
  const height = image?.displayHeight ?? image?.videoHeight ?? image?.naturalHeight ?? image?.height;
  if (typeof width !== "number" || typeof height !== "number") {
    throw new InputError(
      `image is ${shown(image)}; expected ImageData, a bitmap, a canvas, an <img>, a <video>, a Blob, or {data, width, height}`,
    );
  }
  checkSize(width, height);
  return [width, height];
}

/** A bitmap of an image file, its colours as they are in the file. */
async function decoded(blob) {
  const size = sizeInHeader(new Uint8Array(await blob.slice(0, 1 << 18).arrayBuffer()));
  if (size) checkSize(...size);
  if (typeof createImageBitmap === "undefined") {
    throw new UnavailableError("image files are decoded by browsers alone; decode it, and give {data, width, height}");
  }
  try {
    return await createImageBitmap(blob, {
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
      imageOrientation: "from-image",
    });
  } catch {
    throw new InputError(
      `not a readable image (${blob.type || "no known type"}, ${blob.size.toLocaleString("en")} bytes)`,
    );
  }
}

/** [width, height] of a PNG or JPEG; null for others. A file of a few kB may unpack to gigabytes. */
function sizeInHeader(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length > 24 && view.getUint32(0) === 0x89504e47) return [view.getUint32(16), view.getUint32(20)];
  if (bytes.length < 4 || view.getUint16(0) !== 0xffd8) return null;
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff; at += 2 + view.getUint16(at + 2)) {
    const kind = bytes[at + 1];
    if (kind >= 0xc0 && kind <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(kind)) {
      return [view.getUint16(at + 7), view.getUint16(at + 5)];
    }
  }
  return null;
}

/** Read the pixels of a bitmap, canvas or video in strips, so that little memory is needed. Nothing is scaled. */
function drawn(image, width, height, put) {
  const strip = Math.max(1, Math.min(height, Math.floor(STRIP / width)));
  const canvas = canvasOf(width, strip);
  const pen = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (pen === null) throw new UnavailableError("this browser gives no canvas to read pixels from; reload the page");
  pen.globalCompositeOperation = "copy";
  pen.imageSmoothingEnabled = false;
  for (let from = 0; from < height; from += strip) {
    const count = Math.min(strip, height - from);
    let data;
    try {
      pen.drawImage(image, 0, -from);
      data = pen.getImageData(0, 0, width, count).data;
    } catch (error) {
      throw new InputError(`the image cannot be read (${error.message}); expected one of this site, completely loaded`);
    }
    put({ width, height, rows: data, values: 4, from, count });
  }
}

function canvasOf(width, height) {
  if (typeof OffscreenCanvas !== "undefined") return new OffscreenCanvas(width, height);
  if (typeof document === "undefined")
    throw new UnavailableError("there is no canvas here; give {data, width, height}");
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** 0xRRGGBB, or -1 for none. */
export function groundOf(ground) {
  if (ground === null || ground === undefined) return -1;
  const colour = Array.isArray(ground) ? ground : [ground, ground, ground];
  if (colour.length !== 3 || !colour.every((level) => Number.isInteger(level) && level >= 0 && level <= 255)) {
    throw new InputError(`ground is ${shown(ground)}; expected a grey level 0..255, or [red, green, blue]`);
  }
  return (colour[0] << 16) | (colour[1] << 8) | colour[2];
}
