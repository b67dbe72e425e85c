/* An image of any size as `classify` takes it, in @name@_image.c: brought to the model's size by @fit_words@
   with the filter @resize@, the same bits as Pillow 13. All rows at once, or one after another: `begin`, then a call
   of `row` for each.

   layout: of the image's bytes. ground: 0xRRGGBB, what lies behind transparent pixels; negative for images without.
   The workspace needs image_bytes(width, height) bytes, with any alignment; 0 for a size that is refused: sides of 1 to
   65,535 and up to 33,554,432 pixels are taken. Compile the file with doubles of 64 bits, as all but AVR's are. */
#define @NAME@_GREY 1
#define @NAME@_RGB 3
#define @NAME@_RGBA 4
#define @NAME@_BGR (-3)
#define @NAME@_BGRA (-4)
#define @NAME@_WRONG_SIZE 1
#define @NAME@_UNKNOWN_LAYOUT 2
#define @NAME@_TRANSPARENT 3
int32_t @name@_image_bytes(int32_t width, int32_t height);
int @name@_image(const uint8_t *image, int32_t width, int32_t height, int32_t layout, int32_t ground, uint8_t *pixels,
                 void *workspace);
int @name@_image_begin(int32_t width, int32_t height, int32_t layout, int32_t ground, uint8_t *pixels,
                       void *workspace);
int @name@_image_row(const uint8_t *row, void *workspace);

/* Whether the image is dark on light where the model was trained on light on dark, or the other way round, judged by
   its outermost pixels; 0 for a model of either. `invert` turns it round. */
int @name@_looks_inverted(const uint8_t *pixels);
void @name@_invert(uint8_t *pixels);

