"""Models of Keras as TensorFlow's own converter writes them for tfjs: TF_USE_LEGACY_KERAS=1 python keras_models.py folder [names].

Needs tensorflow-cpu, tf_keras (for Keras 2), tensorflow-hub, and tensorflowjs installed with --no-deps. Every model has random weights,
with statistics and biases away from where they start, and lies in folder/name with a batch of two and what TensorFlow answers:
x.npy and y0.npy, y1.npy, … in TensorFlow's layout, and the gradient of the sum of seed · y0 with respect to x (seed.npy, gradient.npy).
keras-models.mjs converts and compares them.
"""

import os
import shutil
import sys
import tempfile
import types

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

# tensorflowjs 4.22 names types that NumPy 2 has dropped, and loads JAX, which nothing here needs.
for builtin in (object, bool, int, float):
    if builtin.__name__ not in vars(np):
        setattr(np, builtin.__name__, builtin)
for name in ("jax", "jax.experimental", "jax.experimental.jax2tf", "tensorflowjs.converters.jax_conversion"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["tensorflowjs.converters.jax_conversion"].convert_jax = None
from tensorflowjs.converters import tf_saved_model_conversion_v2 as converter  # noqa: E402

keras = tf.keras
layers = keras.layers


class Apply(layers.Layer):
    """A function of TensorFlow's as a layer."""

    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function

    def call(self, x):
        return self.function(x)


class Positions(layers.Layer):
    def build(self, shape):
        self.positions = self.add_weight(shape=(1, *shape[1:]), initializer="random_normal", name="positions")

    def call(self, x):
        return x + self.positions


def vision_transformer(activation="gelu"):
    image = layers.Input((32, 32, 3))
    x = Positions()(layers.Reshape((16, 32))(layers.Conv2D(32, 8, 8)(image)))
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 8)(y, y)])
        y = layers.Dense(64, activation=activation)(layers.LayerNormalization(epsilon=1e-6)(x))
        x = layers.Add()([x, layers.Dense(32)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(image, layers.Dense(10)(x))


def deeplab():
    """Dilated convolutions of several rates beside a pooled branch, enlarged."""
    image = layers.Input((48, 48, 3))
    low = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, 2, "same", use_bias=False)(image)))
    x = layers.ReLU(6.0)(layers.Conv2D(24, 3, 2, "same")(low))
    branches = [layers.Conv2D(16, 3, padding="same", dilation_rate=rate, activation="relu")(x) for rate in (2, 4)]
    branches += [layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)(x), layers.SeparableConv2D(16, 3, padding="same", dilation_rate=3)(x)]
    pooled = layers.Conv2D(16, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Concatenate()([*branches, layers.UpSampling2D(12, interpolation="bilinear")(pooled)])
    x = layers.Concatenate()([layers.UpSampling2D(2, interpolation="bilinear")(layers.Conv2D(16, 1)(x)), low])
    return keras.Model(image, layers.Softmax()(layers.Conv2DTranspose(5, 3, 2, "same")(x)))


def unet():
    """Group normalisation, swish, attention in the middle."""

    def block(x, filters):
        return layers.Conv2D(filters, 3, padding="same")(layers.Activation("swish")(layers.GroupNormalization(4)(x)))

    image = layers.Input((16, 16, 3))
    wide = block(layers.Conv2D(16, 3, padding="same")(image), 16)
    x = layers.Reshape((64, 32))(block(layers.AveragePooling2D(2)(wide), 32))
    x = layers.Reshape((8, 8, 32))(layers.Add()([x, layers.MultiHeadAttention(2, 16)(x, x)]))
    x = block(layers.Concatenate()([layers.UpSampling2D()(x), wide]), 16)
    return keras.Model(image, layers.Conv2D(3, 3, padding="same")(x))


def grouped_convolutions():
    image = layers.Input((16, 16, 8))
    x = layers.Conv2D(16, 3, strides=2, groups=2)(layers.ReLU()(layers.Conv2D(16, 3, padding="same", groups=4)(image)))
    return keras.Model(image, layers.Dense(10)(layers.Flatten()(x)))


def channel_shuffle():
    image = layers.Input((16, 16, 8))
    x = Apply(lambda x: tf.reshape(tf.transpose(tf.reshape(x, [-1, 16, 16, 2, 8]), [0, 1, 2, 4, 3]), [-1, 16, 16, 16]))(layers.Conv2D(16, 1)(image))
    left, right = Apply(lambda x: tf.split(x, 2, axis=-1))(x)
    x = Apply(lambda x: tf.nn.depth_to_space(x, 2))(layers.Concatenate()([left, layers.DepthwiseConv2D(3, padding="same")(right)]))
    return keras.Model(image, layers.Dense(10, activation="softmax")(layers.GlobalMaxPooling2D()(x)))


def functions():
    """Functions of TensorFlow's, one after another."""
    image = layers.Input((12, 12, 4))
    x = layers.Conv2D(8, 3, padding="same")(image)
    for function in (
        lambda x: tf.nn.local_response_normalization(x, 2, 1.0, 0.001, 0.75),
        lambda x: tf.cumsum(tf.reverse(x, [2]), axis=1),
        lambda x: tf.math.l2_normalize(x, -1),
        lambda x: tf.sinh(x) + tf.atan(x) + tf.math.expm1(x) + tf.math.asinh(x) + tf.math.tan(x * 0.1),
        lambda x: tf.where(tf.not_equal(tf.sign(x), 1.0), tf.zeros_like(x), x * tf.ones_like(x)),
        lambda x: tf.roll(x, 1, axis=1),
        lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="SYMMETRIC"),
    ):
        x = Apply(function)(x)
    return keras.Model(image, layers.Dense(10)(layers.Flatten()(x)))


def bytes_in():
    """Integers of an image, scaled in the graph; activations with parameters."""
    image = layers.Input((24, 24, 3), dtype="int32")
    x = Apply(lambda x: tf.cast(x, tf.float32) / 127.5 - 1.0)(image)
    x = layers.ELU()(layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(8, 3, 2)(x)))
    x = layers.Conv2D(8, 3, activation="selu")(layers.Conv2D(8, 3, activation="hard_sigmoid")(x))
    return keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def sequence():
    given = layers.Input((12, 6))
    x = layers.MaxPooling1D()(layers.Conv1D(8, 3, padding="same", activation="relu")(given))
    x = layers.Conv1D(8, 3, dilation_rate=2, padding="causal")(x)
    return keras.Model(given, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


def matrices():
    given = layers.Input((6, 8))
    x = layers.Dense(5)(Apply(lambda x: tf.einsum("nij,nkj->nik", x, x))(given))
    x = Apply(lambda x: tf.linalg.band_part(tf.matmul(x, x, transpose_a=True), -1, 0))(x)
    x = Apply(lambda x: tf.concat([tf.reduce_logsumexp(x, -1), tf.norm(x, axis=-1), tf.math.reduce_std(x, -1), tf.reduce_prod(x, -1)], -1))(x)
    return keras.Model(given, x)


def largest():
    given = layers.Input((20,))
    values, places = Apply(lambda x: tf.math.top_k(x, 5))(layers.Dense(30)(given))
    return keras.Model(given, [layers.Dense(4)(values), Apply(lambda x: tf.one_hot(x, 30))(places)])


def application(name, side):
    return lambda: getattr(keras.applications, name)(weights=None, classes=10, input_shape=(side, side, 3))


MODELS = {name: application(name, side) for name, side in (
    ("MobileNet", 64), ("MobileNetV2", 64), ("MobileNetV3Small", 64), ("MobileNetV3Large", 64), ("ResNet50", 64), ("ResNet50V2", 64),
    ("RegNetX002", 64), ("RegNetY002", 64), ("EfficientNetB0", 64), ("EfficientNetV2B0", 64), ("DenseNet121", 64), ("InceptionV3", 80),
    ("Xception", 80), ("NASNetMobile", 64), ("ConvNeXtTiny", 64), ("VGG16", 32),
) if hasattr(keras.applications, name)}
MODELS |= {made.__name__: made for made in (vision_transformer, deeplab, unet, grouped_convolutions, channel_shuffle, functions, bytes_in, sequence, matrices, largest)}


def write(name, folder):
    keras.utils.set_random_seed(1)
    model = MODELS[name]()
    rng = np.random.default_rng(0)
    for weight in model.weights:
        kind = getattr(weight, "path", weight.name)
        if any(part in kind for part in ("moving_mean", "beta", "bias")):
            weight.assign(0.1 * rng.standard_normal(weight.shape))
        elif "moving_var" in kind or "gamma" in kind:
            weight.assign(0.5 + rng.random(weight.shape))
    shape = (2, *model.input_shape[1:])
    x = rng.integers(0, 255, shape).astype("int32") if name == "bytes_in" else rng.random(shape).astype("float32")
    with tempfile.TemporaryDirectory() as saved:
        if hasattr(model, "export"):
            model.export(saved)
        else:
            tf.saved_model.save(model, saved)
        shutil.rmtree(folder, ignore_errors=True)
        converter.convert_tf_saved_model(saved, folder, skip_op_check=True)
    given = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(given)
        answers = model(given)
        answers = answers if isinstance(answers, (list, tuple)) else [answers]
        seed = rng.standard_normal(answers[0].shape).astype("float32")
        weighted = tf.reduce_sum(answers[0] * seed)
    np.save(f"{folder}/x.npy", x)
    for index, y in enumerate(answers):
        np.save(f"{folder}/y{index}.npy", np.asarray(y, "float32"))
    if given.dtype.is_floating:
        np.save(f"{folder}/seed.npy", seed)
        np.save(f"{folder}/gradient.npy", tape.gradient(weighted, given).numpy())


if __name__ == "__main__":
    out, names = sys.argv[1], sys.argv[2:] or list(MODELS)
    for name in names:
        print(name, flush=True)
        write(name, os.path.join(out, name))
