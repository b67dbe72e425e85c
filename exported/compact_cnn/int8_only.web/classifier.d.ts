/** What the model expects and returns; see docs/contract.md of fmnist-edge. */
export interface Contract {
  input_shape: [height: number, width: number, channels: number];
  output: "logits" | "probabilities";
  labels: string[];
  preprocessing: { scale: number; mean: number | number[]; std: number | number[]; order?: "RGB" | "BGR" };
  polarity?: "light-on-dark" | "dark-on-light" | null;
  resize?: "nearest" | "box" | "bilinear" | "bicubic" | "lanczos";
  fit?: "stretch" | "crop" | "letterbox";
  fill?: number | [number, number, number];
  task?: "classification" | "binary" | "multilabel";
  thresholds?: number[];
}

/**
 * Pixels in rows from the top: grey, RGB or RGBA, by the number of values. Bytes are 0 to 255, floats 0 to 1.
 * An ImageData is one.
 */
export interface Pixels {
  data: Uint8Array | Uint8ClampedArray | Float32Array | Float64Array;
  width: number;
  height: number;
}

/** A Blob or File is an image file, such as a PNG or JPEG; it needs a browser. */
export type Image =
  Pixels | ImageBitmap | Blob | HTMLImageElement | HTMLCanvasElement | OffscreenCanvas | HTMLVideoElement | VideoFrame;

export interface Options {
  /**
   * What to do with an image whose polarity (light on dark or dark on light) is not the training images': leave it
   * ("never", the default; the answer says `looks_inverted`), invert such images ("auto"), invert every image ("always").
   */
  invert?: "never" | "auto" | "always";
  /** The order of the channels in `Pixels`. */
  order?: "RGB" | "BGR";
  /** What lies behind transparent pixels: a grey level 0..255, or [red, green, blue]. Without it they are an error. */
  ground?: number | [number, number, number] | null;
}

export interface Answer {
  /** The likeliest class; null if the confidence calls the answer unknown, or if no label exceeds its threshold. */
  label: string | null;
  index: number;
  /** Probability of the class at `index`. */
  confidence: number;
  probabilities: Float32Array;
  /** Of a multilabel model, the labels above their thresholds, the likeliest first; else `label` alone. */
  labels: string[];
  /** Milliseconds from image to answer, decoding included. */
  latency_ms: number;
  /** Whether the image looks inverted and was left so. */
  looks_inverted: boolean;
  /** The image as the model saw it: rows, columns, channels of the contract's input_shape. */
  pixels: Uint8Array;
}

export interface SelfTest {
  passed: boolean;
  tolerance: number;
  engine: string;
  vectors: { number: number; passed: boolean; max_abs_delta: number }[];
}

export interface PhotoTest {
  passed: boolean;
  photos: { file: string; passed: boolean; same_pixels: boolean; max_abs_delta: number }[];
}

export interface Classify {
  (image: Image, options?: Options): Promise<Answer>;
  /** The model's outputs, logits or probabilities as the contract says. */
  scores(image: Image, options?: Options): Promise<Float32Array>;
  /** Replay the golden vectors of the export. */
  selfTest(): Promise<SelfTest>;
  /** Classify the golden photos; pixels and scores must be Python's. `decode` is for Node, which reads no PNG. */
  photoTest(decode?: (png: Uint8Array) => Image | Promise<Image>): Promise<PhotoTest>;
  readonly contract: Contract;
  readonly manifest: Record<string, unknown>;
  /** The module that was chosen: model.simd.wasm or model.wasm. */
  readonly file: string;
  readonly bytesLoaded: number;
}

export interface LoadOptions {
  /** Which module to load; the default is the one that this machine can run. */
  simd?: boolean;
  /** Whether answers that the manifest's confidence calls unknown have no label; the default is the manifest's. */
  abstain?: boolean;
  /** Reads files instead of `fetch`. */
  fetch?: (url: URL) => Promise<Response>;
}

export class Classifier {
  private constructor();
  /**
   * Load an exported folder, at an http(s) URL or, in Node, a file URL.
   * Throws ArtifactError, InputError or UnavailableError.
   */
  static load(url: string | URL, options?: LoadOptions): Promise<Classify>;
}

export class FmnistEdgeError extends Error {}
/** The folder is incomplete, altered or not for this version. */
export class ArtifactError extends FmnistEdgeError {}
/** An image or an option that does not fit. */
export class InputError extends FmnistEdgeError {}
/** Something that this browser does not have. */
export class UnavailableError extends FmnistEdgeError {}
