"""Names that a model config may hold: what Keras has built in, less what takes code or reads files.

Left out on purpose: Lambda, TFSMLayer, TorchModuleWrapper, JaxLayer and FlaxLayer (code), TextVectorization,
StringLookup and IntegerLookup (files), RNN with cells of one's own, and every operation that calls a function.
"""

from __future__ import annotations

__all__ = ["ACTIVATIONS", "DATA", "HELPERS", "LAYERS", "OPERATIONS", "POLICIES"]


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LAYERS = words("""
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average
    AveragePooling1D AveragePooling2D AveragePooling3D AdaptiveAveragePooling2D AdaptiveMaxPooling2D
    BatchNormalization Bidirectional CenterCrop Concatenate
    Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose Cropping1D Cropping2D Cropping3D
    Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Flatten GRU GaussianDropout
    GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    GroupNormalization GroupQueryAttention Identity InputLayer LSTM LayerNormalization LeakyReLU Masking
    MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization
    PReLU Permute RMSNormalization RandomBrightness RandomContrast RandomCrop RandomFlip RandomRotation
    RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape Resizing
    SeparableConv1D SeparableConv2D SimpleRNN Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D
    SpectralNormalization Subtract TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D
    ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """)
# Operations that `x + 1` or `keras.ops.relu(x)` put into a functional model: arithmetic alone, none takes a function.
OPERATIONS = {
    "keras.src.ops.numpy": words("""
        Absolute Add Amax Amin Clip Concatenate Divide Exp ExpandDims Flip GetItem Log Matmul Max Maximum Mean Min
        Minimum Moveaxis Multiply Negative Pad Power Reshape Sqrt Square Squeeze Stack Std Subtract Sum Tanh Transpose
        TrueDivide Var
        """),
    "keras.src.ops.nn": words("""
        AveragePool Celu Conv DepthwiseConv Elu Gelu HardSigmoid HardSilu HardTanh LeakyRelu LogSoftmax MaxPool Relu
        Relu6 Selu Sigmoid Silu Softmax Softplus Softsign
        """),
    "keras.src.ops.math": frozenset({"Rsqrt"}),
}
HELPERS = {
    "initializers": words("""
        Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones Orthogonal
        OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
        """),
    "regularizers": frozenset({"L1", "L2", "L1L2", "OrthogonalRegularizer"}),
    "constraints": frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"}),
}
ACTIVATIONS = words("""
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
    sparsemax squareplus swish tanh tanh_shrink threshold
    """)
DATA = frozenset({"__keras_tensor__", "__tensor__", "__numpy__", "__slice__", "__ellipsis__"})
POLICIES = frozenset({"DTypePolicy", "FloatDTypePolicy", "Policy"})
