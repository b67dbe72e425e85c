"""What LiteRT answers for a `.tflite` file, whatever the types of its input and output."""

import numpy as np


def scores(content, images):
    """Float scores, image by image."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (read,), (written,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for image in images:
        interpreter.set_tensor(read["index"], quantized(image[None], read))
        interpreter.invoke()
        found.append(dequantized(interpreter.get_tensor(written["index"]), written))
    return np.concatenate(found)


def quantized(values, details):
    scale, zero = details["quantization"]
    if not scale:
        return values
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(details["dtype"])


def dequantized(values, details):
    scale, zero = details["quantization"]
    return (values.astype(np.float32) - zero) * scale if scale else values


def off_by(model, content, images):
    """The largest difference from a Keras model, as a fraction of the range of its answers."""
    expected = np.concatenate([np.asarray(model(image[None], training=False)) for image in images])
    return np.abs(scores(content, images) - expected).max() / np.ptp(expected)
