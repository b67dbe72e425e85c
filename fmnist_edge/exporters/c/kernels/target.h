/* The instructions that this is compiled for, by the compiler's own macros. FE_PORTABLE asks for plain C99.

   A stored activation is the int8 value + FE_OFFSET, in the type that the instructions read: unsigned bytes for
   VPDPBUSD and VPMADDUBSW, 16 bits for WebAssembly's dot product, signed bytes elsewhere. The weights are the same for all of them. */
#if defined(FE_PORTABLE)
#elif defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define FE_AVX512VNNI 1
#elif defined(__AVX2__) && defined(__AVXVNNI__)
#define FE_AVXVNNI 1
#elif defined(__AVX2__)
#define FE_AVX2 1
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define FE_NEON 1
#elif defined(__ARM_FEATURE_SIMD32) && !defined(__aarch64__) && defined(__GNUC__)
#define FE_DSP 1
#elif defined(__wasm_simd128__)
#define FE_WASM 1
#endif

#if defined(FE_AVX512VNNI) || defined(FE_AVXVNNI) || defined(FE_AVX2)
typedef uint8_t fe_act;
#define FE_OFFSET 128
#elif defined(FE_WASM)
typedef int16_t fe_act;
#define FE_OFFSET 0
#else
typedef int8_t fe_act;
#define FE_OFFSET 0
#endif

/* A convolution computes FE_PICK pixels and up to FE_MOST_BLOCKS blocks of FE_BLOCK output channels together: as many as
   the registers hold. Weights are packed in panels of FE_PANEL output channels. */
#define FE_PANEL 16
#if defined(FE_AVX512VNNI)
#define FE_BLOCK 16
#define FE_MOST_PIXELS 8
#define FE_MOST_BLOCKS 4
#define FE_PICK(eight, six, four, two) (eight)
#elif defined(FE_AVX2)
#define FE_BLOCK 8
#define FE_MOST_PIXELS 8
#define FE_MOST_BLOCKS 1
#define FE_PICK(eight, six, four, two) (eight)
#elif defined(FE_AVXVNNI)
#define FE_BLOCK 8
#define FE_MOST_PIXELS 6
#define FE_MOST_BLOCKS 4
#define FE_PICK(eight, six, four, two) (six)
#elif defined(FE_NEON) && !defined(__ARM_FEATURE_DOTPROD)
#define FE_BLOCK 8
#define FE_MOST_PIXELS 4
#define FE_MOST_BLOCKS 1
#define FE_PICK(eight, six, four, two) (four)
#elif defined(FE_NEON)
#define FE_BLOCK 8
#define FE_MOST_PIXELS 8
#define FE_MOST_BLOCKS 2
#define FE_PICK(eight, six, four, two) (eight)
#elif defined(FE_DSP)
#define FE_BLOCK 4
#define FE_MOST_PIXELS 2
#define FE_MOST_BLOCKS 1
#define FE_PICK(eight, six, four, two) (two)
#elif defined(FE_WASM)
#define FE_BLOCK 4
#define FE_MOST_PIXELS 6
#define FE_MOST_BLOCKS 1
#define FE_PICK(eight, six, four, two) (six)
#else
#define FE_PLAIN_FINISH 1
#define FE_BLOCK 16
#define FE_MOST_PIXELS 2
#define FE_MOST_BLOCKS 1
#define FE_PICK(eight, six, four, two) (two)
#endif

#if defined(__clang__)
#define FE_UNROLL _Pragma("clang loop unroll(full)")
#define FE_INLINE static inline __attribute__((always_inline, unused))
#define FE_FUNCTION static __attribute__((unused))
#elif defined(__GNUC__)
#define FE_UNROLL _Pragma("GCC unroll 16")
#define FE_INLINE static inline __attribute__((always_inline, unused))
#define FE_FUNCTION static __attribute__((unused))
#else
#define FE_UNROLL
#define FE_INLINE static
#define FE_FUNCTION static
#endif

FE_FUNCTION fe_act fe_stored(int32_t value) { return (fe_act)(value + FE_OFFSET); }

FE_FUNCTION int32_t fe_clamp(int32_t value, int32_t low, int32_t high) {
  return value < low ? low : value > high ? high : value;
}

#if defined(FE_AVX512VNNI)
#define FE_TARGET "AVX-512 VNNI"
#elif defined(FE_AVXVNNI)
#define FE_TARGET "AVX-VNNI"
#elif defined(FE_AVX2)
#define FE_TARGET "AVX2"
#elif defined(FE_NEON) && defined(__ARM_FEATURE_DOTPROD)
#define FE_TARGET "NEON with dot products"
#elif defined(FE_NEON)
#define FE_TARGET "NEON"
#elif defined(FE_DSP)
#define FE_TARGET "Arm DSP"
#elif defined(FE_WASM)
#define FE_TARGET "WebAssembly SIMD"
#else
#define FE_TARGET "any C99 compiler"
#endif
