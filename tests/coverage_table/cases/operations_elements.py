"""Operations on single values: of one tensor, of two, comparisons, logic and integers."""

from __future__ import annotations

from typing import Any

from coverage_table.case import SIGNED, UNIT, Case, operation, words

__all__ = ["CASES"]

SQUARE = (4, 4, 3)
POSITIVE, ABOVE_ONE, INSIDE = (0.05, 4.0), (1.01, 4.0), (-0.95, 0.95)
INTEGERS = (0.0, 15.9)
ONE = {
    SIGNED: """
        Abs Absolute Arcsinh Arctan Cbrt Ceil Conj Conjugate Copy Cos Cosh Deg2rad EmptyLike Exp Exp2 Expm1 Fabs Floor
        I0 Isfinite Isinf Isnan Isneginf Isposinf Isreal NanToNum Negative OnesLike Rad2deg Real Round Sign Signbit Sin
        Sinc Sinh Square Tanh Trunc ZerosLike Angle Imag
        """,
    POSITIVE: "Log Log10 Log1p Log2 Reciprocal Sqrt",
    ABOVE_ONE: "Arccosh",
    INSIDE: "Arccos Arcsin Arctanh Tan",
}
TWO = words("""
    Add Arctan2 Divide DivideNoNan Equal FloorDivide Fmax Fmin Fmod Greater GreaterEqual Heaviside Hypot
    Isclose Less LessEqual Logaddexp Logaddexp2 Maximum Minimum Mod Multiply Nextafter NotEqual Subtract
    TrueDivide
    """)
JUMPING = ("FloorDivide", "Fmod", "Mod")  # where the first value is a multiple of the second
WITH_CONSTANT = words("""
    Add Divide Greater Less Maximum Minimum Multiply Power Subtract
    """)
LOGIC = words("""
    LogicalAnd LogicalOr LogicalXor
    """)
BITS = words("""
    BitwiseAnd BitwiseOr BitwiseXor Gcd Lcm
    """)
SHIFTS = words("""
    BitwiseLeftShift BitwiseRightShift LeftShift RightShift
    """)


def transposed(x: Any) -> Any:
    """The image mirrored at its diagonal: another tensor of the same values, some of them in the same place."""
    from keras import layers

    return layers.Permute((2, 1, 3))(x)


def whole(x: Any) -> Any:
    from keras import ops

    return ops.cast(x, "int32")


def of_two(name: str, domain: tuple[float, float] = POSITIVE) -> Case:
    jumps = 0.3 if name in JUMPING else 0.0
    return operation(f"numpy.{name}", "two tensors", lambda made, x: made(x, transposed(x)), domain=domain, jumps=jumps)


CASES = [
    *(operation(f"numpy.{name}", domain=domain) for domain, names in ONE.items() for name in names.split()),
    operation("numpy.Round", decimals=1),
    *(of_two(name) for name in TWO),
    operation("numpy.Power", "two tensors", lambda made, x: made(x, transposed(x)), domain=(0.2, 1.6)),
    operation("numpy.Ldexp", "constant", lambda made, x: made(x, 2)),
    *(operation(f"numpy.{name}", "a number", lambda made, x: made(x, 0.75), domain=POSITIVE) for name in WITH_CONSTANT),
    operation("numpy.Subtract", "from a number", lambda made, x: made(1.0, x)),
    operation("numpy.Divide", "a number by it", lambda made, x: made(1.0, x), domain=(0.25, 2.0)),
    operation("numpy.Clip", x_min=-1.0, x_max=2.0),
    *(operation(f"numpy.{name}", "two tensors", lambda made, x: made(x > 0.1, transposed(x) > 0.1)) for name in LOGIC),
    operation("numpy.LogicalNot", "comparison", lambda made, x: made(x > 0.1)),
    operation("numpy.Where", "two tensors", lambda made, x: made(x > 0.1, x, transposed(x))),
    operation("numpy.Where", "a number", lambda made, x: made(x > 0.1, x, 0.0)),
    operation("numpy.Select", "default", lambda made, x: made([x > 1.0, x > -1.0], [x, transposed(x)], 0.5)),
    *(
        operation(f"numpy.{name}", "two tensors", lambda made, x: made(whole(x), whole(transposed(x))), domain=INTEGERS)
        for name in BITS
    ),
    *(operation(f"numpy.{name}", "by 2", lambda made, x: made(whole(x), 2), domain=INTEGERS) for name in SHIFTS),
    *(
        operation(f"numpy.{name}", call=lambda made, x: made(whole(x)), domain=INTEGERS)
        for name in ("BitwiseInvert", "BitwiseNot")
    ),
    *(operation(f"math.{name}") for name in ("Erf", "Erfc")),
    operation("math.Erfinv", domain=INSIDE),
    operation("math.Rsqrt", domain=POSITIVE),
    operation("core.Cast", dtype="int32", domain=INTEGERS),
    operation("core.Cast", dtype="bool", domain=UNIT),  # zero or not: eight bits hold these values
    operation("core.Cast", dtype="float16"),
    operation("core.SaturateCast", dtype="uint8", domain=(0.0, 300.0)),
    operation("core.ConvertToTensor"),
    operation("core.StopGradient"),
    operation("numpy.FullLike", "0.5", lambda made, x: made(x, 0.5)),
    operation("numpy.Array"),
    operation("numpy.View", dtype="int32"),
]
