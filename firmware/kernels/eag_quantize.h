/* Conversions between element types and quantizations, and the activations that are one: RELU,
 * RELU6 and RELU_N1_TO_1. Layout: any, dense; `size` counts elements. No scratch. Stack: under 64
 * bytes. Bit-exact to TensorFlow Lite Micro's; single precision only.
 */
#ifndef EAG_QUANTIZE_H
#define EAG_QUANTIZE_H

#include <stdint.h>

/* out = clamp(in, min, max). `out` may be `in`. */
struct eag_clamp_params {
  int32_t size;
  int32_t min, max;
};

void eag_clamp_s8(const struct eag_clamp_params *p, const void *in, void *out, void *scratch);
void eag_clamp_s16(const struct eag_clamp_params *p, const void *in, void *out, void *scratch);

/* The same, four at a time: SSUB8 and SEL. */
void eag_clamp_s8_dsp(const struct eag_clamp_params *p, const void *in, void *out, void *scratch);

/* out = clamp(rescale(in + offset) + zero_point, min, max); the multiplier is Q0.31 in
 * [2^30, 2^31), the shift -31 (right) to the largest with |in + offset| << shift below 2^31.
 * `out` may be `in` where the element does not grow. */
struct eag_requantize_params {
  int32_t size;
  int32_t offset;
  int32_t multiplier, shift, zero_point;
  int32_t min, max;
};

void eag_requantize_s8_s8(const struct eag_requantize_params *p, const void *in, void *out,
                          void *scratch);
void eag_requantize_s8_u8(const struct eag_requantize_params *p, const void *in, void *out,
                          void *scratch);
void eag_requantize_u8_s8(const struct eag_requantize_params *p, const void *in, void *out,
                          void *scratch);
void eag_requantize_s8_s16(const struct eag_requantize_params *p, const void *in, void *out,
                           void *scratch);
void eag_requantize_s16_s8(const struct eag_requantize_params *p, const void *in, void *out,
                           void *scratch);
void eag_requantize_s16_s16(const struct eag_requantize_params *p, const void *in, void *out,
                            void *scratch);

/* out = clamp(round(in / scale) + zero_point), halves away from zero; in is any finite float or an
 * infinity (a NaN gives the smallest value). */
struct eag_quantize_f32_params {
  int32_t size;
  float scale;
  int32_t zero_point;
};

void eag_quantize_f32_s8(const struct eag_quantize_f32_params *p, const void *in, void *out,
                         void *scratch);
void eag_quantize_f32_s16(const struct eag_quantize_f32_params *p, const void *in, void *out,
                          void *scratch);

/* out = scale * (in - zero_point). */
struct eag_dequantize_f32_params {
  int32_t size;
  float scale;
  int32_t zero_point;
};

void eag_dequantize_s8_f32(const struct eag_dequantize_f32_params *p, const void *in, void *out,
                           void *scratch);
void eag_dequantize_u8_f32(const struct eag_dequantize_f32_params *p, const void *in, void *out,
                           void *scratch);
void eag_dequantize_s16_f32(const struct eag_dequantize_f32_params *p, const void *in, void *out,
                            void *scratch);

#endif
