/* Pooling over height and width of int8 and int16 NHWC tensors (batch 1), and the mean over any axes,
 * bit-exact to TensorFlow Lite Micro's. No scratch. Stack: under 160 bytes.
 */
#ifndef EAG_POOL_H
#define EAG_POOL_H

#include <stdint.h>

/* Input [in_h][in_w][channels], output [out_h][out_w][channels], dense. Padding is at the top and
 * left; what the windows reach past the bottom and right is left out too. Every window covers at
 * least one input element. min, max: fused activation,
 * within the element's range. Pixels are made in order, so the
 * output may overlap the input where it starts far enough before it
 * (export/edge_export/kernels/overlap.py says how far). */
struct eag_pool_params {
  int32_t in_h, in_w, channels;
  int32_t out_h, out_w;
  int32_t filter_h, filter_w;
  int32_t stride_h, stride_w;
  int32_t pad_h, pad_w;
  int32_t min, max;
};

/* Mean of the window's elements inside the input, rounded half away from zero. */
void eag_average_pool_s8(const struct eag_pool_params *p, const void *in, void *out,
                         void *scratch);
void eag_max_pool_s8(const struct eag_pool_params *p, const void *in, void *out, void *scratch);
/* int16; a window has at most 65535 elements. */
void eag_average_pool_s16(const struct eag_pool_params *p, const void *in, void *out,
                          void *scratch);
void eag_max_pool_s16(const struct eag_pool_params *p, const void *in, void *out,
                      void *scratch);

/* The same for cores with the DSP extension, four channels at a time. eag_average_pool_s8_dsp
 * sums in 16 bits: a window has at most 256 elements. */
void eag_average_pool_s8_dsp(const struct eag_pool_params *p, const void *in, void *out,
                             void *scratch);
void eag_max_pool_s8_dsp(const struct eag_pool_params *p, const void *in, void *out,
                         void *scratch);

/* MEAN: the input as kept and reduced runs of dimensions, at most two of each, strides in
 * elements; the output is dense over the kept ones, outermost first.
 * out = clamp(rescale(sum + offset) + zero_point); offset = -(input zero point) * count; the
 * multiplier holds 1/count. Sums stay below 2^31. */
struct eag_mean_params {
  int32_t kept[2], kept_stride[2];
  int32_t reduced[2], reduced_stride[2];
  int32_t offset;
  int32_t multiplier, shift, zero_point;
};

void eag_mean_s8(const struct eag_mean_params *p, const void *in, void *out, void *scratch);
void eag_mean_s16(const struct eag_mean_params *p, const void *in, void *out, void *scratch);

#endif
