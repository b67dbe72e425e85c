// The exceptions, as in Python, and how messages show a value.

export class FmnistEdgeError extends Error {
  constructor(message) {
    super(message);
    this.name = this.constructor.name;
  }
}
/** The folder is incomplete, altered or not for this version. */
export class ArtifactError extends FmnistEdgeError {}
/** An image or an option that does not fit. */
export class InputError extends FmnistEdgeError {}
/** Something that this browser does not have. */
export class UnavailableError extends FmnistEdgeError {}

export function shown(value) {
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
