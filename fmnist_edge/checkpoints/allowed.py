"""Names that a model config may hold: all of Keras, without what runs code or reads files.

The tables below give the reason for each name that is left out. A test compares them with all that Keras has.
"""

from __future__ import annotations

__all__ = [
    "ACTIVATIONS", "APPLICATION_LAYERS", "DATA", "HELPERS", "KERAS_2_LAYERS", "LAYERS", "OPERATIONS", "POLICIES",
    "REFUSED_LAYERS", "REFUSED_OPERATIONS",
]  # fmt: skip


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def dims(text: str) -> str:
    """Names with "#" for 1D, 2D and 3D."""
    return " ".join(word.replace("#", f"{n}D") for word in text.split() for n in (1, 2, 3))


LAYERS = words(
    """
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average
    BatchNormalization Bidirectional CategoryEncoding CenterCrop Concatenate
    ContrastLimitedAdaptiveHistogramEqualization CutMix Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot
    Dropout ELU EinsumDense Embedding Equalization Flatten GRU GRUCell GaussianDropout GaussianNoise
    GroupNormalization GroupQueryAttention Identity InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking
    Maximum MelSpectrogram Minimum MixUp MultiHeadAttention Multiply Normalization PReLU Permute Pipeline
    RMSNormalization RNN RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
    RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue
    RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear
    RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape Resizing ReversibleEmbedding STFTSpectrogram
    SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax Solarization SpectralNormalization
    StackedRNNCells Subtract TimeDistributed UnitNormalization
    """
    + dims(
        """
        AdaptiveAveragePooling# AdaptiveMaxPooling# AveragePooling# Conv# Conv#Transpose ConvLSTM# Cropping#
        GlobalAveragePooling# GlobalMaxPooling# MaxPooling# SpatialDropout# UpSampling# ZeroPadding#
        """
    )
)
CODE, FILES = "runs code from the file", "reads vocabularies, which are text or files"
REFUSED_LAYERS = {
    "FlaxLayer": CODE, "JaxLayer": CODE, "Lambda": CODE, "TFSMLayer": CODE, "TorchModuleWrapper": CODE,
    "IntegerLookup": FILES, "StringLookup": FILES, "TextVectorization": FILES,
    "HashedCrossing": "hashes text", "Hashing": "hashes text",
    "Layer": "computes nothing of its own", "Wrapper": "computes nothing of its own",
    "MaxNumBoundingBoxes": "takes boxes, not images",
}  # fmt: skip
# Classes that keras.layers does not have, Keras 2's most of them -> its own, and settings: theirs -> Keras 3's; None
# drops all.
KERAS_2_LAYERS: dict[str, tuple[str, dict[str, str] | None]] = {
    "BatchNormalizationV1": ("BatchNormalization", {}),
    "BatchNormalizationV2": ("BatchNormalization", {}),
    "SyncBatchNormalization": ("BatchNormalization", {}),
    "ThresholdedReLU": ("ReLU", {"theta": "threshold"}),
    "GroupedQueryAttention": ("GroupQueryAttention", {}),  # what the class calls itself
    "RandomHeight": ("Identity", None),  # both change sizes in training alone
    "RandomWidth": ("Identity", None),
    "UnifiedGRU": ("GRU", {}),
    "UnifiedLSTM": ("LSTM", {}),
}
# Layers that keras.applications has for itself: where, and exactly which settings of their own they have.
APPLICATION_LAYERS = {
    "CustomScaleLayer": ("keras.src.applications.inception_resnet_v2", {"scale"}),
    "LayerScale": ("keras.src.applications.convnext", {"init_values", "projection_dim"}),
    "StochasticDepth": ("keras.src.applications.convnext", {"drop_path_rate"}),
}
# Operations that `x + 1` or `keras.ops.relu(x)` put into a functional model. None takes a function.
OPERATIONS = {
    "keras.src.ops.numpy": words("""
        Abs Absolute Add All Amax Amin Angle Any Append Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax
        Argmin Argpartition Argsort Array ArraySplit Average Bincount BitwiseAnd BitwiseInvert BitwiseLeftShift
        BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo Cbrt Ceil Clip Concatenate Conj Conjugate Copy
        Corrcoef Correlate Cos Cosh CountNonzero Cross Cumprod Cumsum Deg2rad Diag Diagflat Diagonal Diff Digitize
        Divide DivideNoNan Dot Dsplit Dstack Einsum EmptyLike Equal Exp Exp2 ExpandDims Expm1 Fabs Flip Fliplr Flipud
        Floor FloorDivide Fmax Fmin Fmod FullLike Gcd GetItem Greater GreaterEqual Heaviside Hsplit Hstack Hypot I0
        Imag Inner IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal Kron Lcm Ldexp LeftShift Less LessEqual
        Log Log10 Log1p Log2 Logaddexp Logaddexp2 LogicalAnd LogicalNot LogicalOr LogicalXor Matmul Max Maximum Mean
        Median Meshgrid Min Minimum Mod Moveaxis Multiply NanToNum Nanargmax Nanargmin Nancumprod Nancumsum Nanmax
        Nanmean Nanmedian Nanmin Nanpercentile Nanprod Nanquantile Nanstd Nansum Nanvar Ndim Negative Nextafter
        NotEqual OnesLike Outer Pad Percentile Power Prod Ptp Quantile Rad2deg Ravel Real Reciprocal Repeat Reshape
        RightShift Roll Rot90 Round SearchSorted Select Sign Signbit Sin Sinc Sinh Size Sort Split Sqrt Square Squeeze
        Stack Std Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh Tensordot Tile Trace Transpose Trapezoid Tril Triu
        TrueDivide Trunc Var Vdot View Vsplit Vstack Where ZerosLike
        """),
    "keras.src.ops.nn": words("""
        AdaptiveAveragePool AdaptiveMaxPool AveragePool BatchNorm Celu Conv ConvTranspose DepthToSpace DepthwiseConv
        DotProductAttention Elu Fold Gelu Glu HardShrink HardSigmoid HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid
        LogSoftmax MaxPool Moments MultiHot Normalize OneHot Polar RMSNorm Relu Relu6 Selu SeparableConv Sigmoid Silu
        SoftShrink Softmax Softplus Softsign SpaceToDepth SparsePlus SparseSigmoid Sparsemax Squareplus TanhShrink
        Threshold Unfold
        """),
    "keras.src.ops.math": words("CDist Erf Erfc Erfinv Logsumexp Rsqrt TopK"),
    "keras.src.ops.core": words("Cast ConvertToTensor SaturateCast Slice StopGradient Unstack"),
    "keras.src.ops.image": words("""
        CropImages ExtractPatches GaussianBlur HSVToRGB PadImages RGBToGrayscale RGBToHSV Resize SobelEdges
        """),
    "keras.src.ops.linalg": words("Norm"),
    "keras.src.ops.einops": words("Rearrange"),
}
FUNCTION, LOSS, COMPLEX = "calls a function", "is a loss or a score, not part of a model", "computes complex numbers"
SHAPELESS, SOLVER, MAKES = "has a shape that depends on values", "solves equations", "makes an array of any size"
EDITS = "is no part of a classifier that has been met"
REFUSED_OPERATIONS: dict[str, str] = {
    **dict.fromkeys(words("AssociativeScan Cond ForiLoop Map Scan Switch VectorizedMap WhileLoop JVP"), FUNCTION),
    **dict.fromkeys(
        words("""
            BinaryCrossentropy CTCDecode CTCLoss CategoricalCrossentropy PSNR SparseCategoricalCrossentropy InTopK SSIM
            AllClose
            """),
        LOSS,
    ),
    **dict.fromkeys(words("FFT FFT2 IFFT2 IRFFT ISTFT RFFT STFT ViewAsComplex ViewAsReal"), COMPLEX),
    **dict.fromkeys(words("Nonzero Unique Histogram UnravelIndex"), SHAPELESS),
    **dict.fromkeys(
        words("""
            Cholesky CholeskyInverse Det Eig Eigh Inv Logdet Lstsq LuFactor MatrixRank Pinv Qr SVD Slogdet Solve
            SolveTriangular
            """),
        SOLVER,
    ),
    **dict.fromkeys(words("Arange Full Geomspace Linspace Logspace Vander"), MAKES),
    **dict.fromkeys(
        words("""
            AffineTransform ElasticTransform ExtractSequences MapCoordinates PerspectiveTransform ScaleAndTranslate
            Scatter ScatterUpdate SegmentMax SegmentMin SegmentProd SegmentReduction SegmentSum SliceUpdate
            """),
        EDITS,
    ),
}
HELPERS = {
    "initializers": words("""
        Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform
        Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer TruncatedNormal
        VarianceScaling Zeros
        """),
    "regularizers": words("L1 L2 L1L2 OrthogonalRegularizer"),
    "constraints": words("MaxNorm MinMaxNorm NonNeg UnitNorm"),
}
ACTIVATIONS = words("""
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
    sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
    """)
DATA = frozenset({"__keras_tensor__", "__tensor__", "__numpy__", "__slice__", "__ellipsis__"})
POLICIES = frozenset({"DTypePolicy", "FloatDTypePolicy", "Policy", "PolicyV1"})
