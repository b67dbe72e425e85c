"""The data set and the model of docs/your-own-model.md: drawings of shapes, and a small Keras CNN.

    python examples/own_model.py build/shapes

Draws the images as PNGs, trains the model, and saves what `fmnist-edge` needs. A minute on two cores.
Install: pip install 'fmnist-edge[export,images]'
"""

import sys
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageDraw

NAMES = ("circle", "cross", "ring", "square", "triangle")  # alphabetical, as Keras numbers the folders of classes
SIZE = 128  # of a photo in pixels; the model sees 32


def photo(name: str, random: np.random.Generator) -> Image.Image:
    """One light shape on a dark, noisy ground, anywhere and at any angle; RGB."""
    ground, colour = (tuple(random.integers(least, least + 120, 3).tolist()) for least in (0, 130))
    image = Image.new("RGB", (SIZE, SIZE), ground)
    radius = random.uniform(24, 44)
    x, y = random.uniform(radius, SIZE - radius, 2)
    angle, box = int(random.integers(360)), (x - radius, y - radius, x + radius, y + radius)
    draw = ImageDraw.Draw(image)
    if name == "circle":
        draw.ellipse(box, fill=colour)
    elif name == "ring":
        draw.ellipse(box, outline=colour, width=12)
    elif name == "cross":
        for turn in np.radians((angle, angle + 90)):
            dx, dy = radius * np.cos(turn), radius * np.sin(turn)
            draw.line((x - dx, y - dy, x + dx, y + dy), fill=colour, width=12)
    else:
        draw.regular_polygon((x, y, radius), {"square": 4, "triangle": 3}[name], angle, fill=colour)
    return Image.fromarray((image + random.normal(0, 40, (SIZE, SIZE, 3))).clip(0, 255).astype(np.uint8))


def model() -> keras.Model:
    """Pixels 0 to 255 in, probabilities out: the model scales its pixels itself."""
    layers = [keras.layers.Input((32, 32, 3)), keras.layers.Rescaling(1 / 255)]
    for filters in (16, 32, 64):
        layers += [keras.layers.Conv2D(filters, 3, padding="same"), keras.layers.BatchNormalization(momentum=0.9)]
        layers += [keras.layers.ReLU(), keras.layers.MaxPooling2D()]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(len(NAMES), activation="softmax")]
    return keras.Sequential(layers, name="shapes")


def main(folder: Path, train: int = 400, test: int = 400, epochs: int = 10) -> None:
    """`train`, `test`: images per class."""
    random = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    (folder / "calibration").mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / "train" / name).mkdir(parents=True, exist_ok=True)
        for number in range(train):
            image = photo(name, random).reduce(4)
            image.save(folder / f"train/{name}/{number:04}.png")
            if number < 100:  # named by number first, so that the first few are of all classes
                image.save(folder / f"calibration/{number:04}-{name}.png")

    images = keras.utils.image_dataset_from_directory(folder / "train", image_size=(32, 32), seed=0)
    shapes = model()
    adam = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.003, epochs * len(images)))
    shapes.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    shapes.fit(images, epochs=epochs, shuffle=False, verbose=2)  # Keras shuffled the files
    shapes.save(folder / "shapes.keras")

    labels = np.repeat(np.arange(len(NAMES)), test)
    np.save(folder / "test.npy", np.stack([np.asarray(photo(NAMES[label], random).reduce(4)) for label in labels]))
    np.save(folder / "test_labels.npy", labels)
    (folder / "labels.txt").write_text("\n".join(NAMES) + "\n")
    photo("triangle", random).save(folder / "photo.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
