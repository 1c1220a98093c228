#include "eag_conv_2d_s16_dsp.h"

#include "eag_mac_s16.h"
#include "eag_taps.h"

uint32_t eag_conv_2d_s16_dsp_scratch_bytes(const struct eag_conv_2d_s16_dsp_params *p) {
  return 2u * p->tile_pixels * p->row;
}

static int16_t *copy(int16_t *to, const int16_t *from, int32_t count) {
  __builtin_memcpy(to, from, 2u * (unsigned)count);
  return to + count;
}

static int16_t *zeros(int16_t *to, int32_t count) {
  __builtin_memset(to, 0, 2u * (unsigned)count);
  return to + count;
}

/* The window whose corner is (y, x), with zeros where it leaves the image. */
static EAG_NOINLINE void gather(const struct eag_conv_2d_s16_dsp_params *p, const int16_t *in,
                                int32_t y, int32_t x, int16_t *to) {
  const int32_t in_c = p->in_c;
  const int32_t width = p->kernel_w * in_c;
  const struct eag_taps rows = eag_taps_inside(y, p->kernel_h, p->dilation_h, p->in_h);
  const struct eag_taps columns = eag_taps_inside(x, p->kernel_w, p->dilation_w, p->in_w);
  int16_t *const end = to + p->row;
  for (int32_t ky = 0; ky < p->kernel_h; ky++) {
    if (ky < rows.first || ky >= rows.end || columns.first >= columns.end) {
      to = zeros(to, width);
      continue;
    }
    const int32_t row = y + ky * p->dilation_h;
    const int32_t column = x + columns.first * p->dilation_w;
    const int16_t *from = in + (row * p->in_w + column) * in_c;
    if (columns.first > 0) to = zeros(to, columns.first * in_c);
    if (p->dilation_w == 1) {
      to = copy(to, from, (columns.end - columns.first) * in_c);
    } else {
      for (int32_t kx = columns.first; kx < columns.end; kx++, from += p->dilation_w * in_c) {
        to = copy(to, from, in_c);
      }
    }
    if (columns.end < p->kernel_w) to = zeros(to, (p->kernel_w - columns.end) * in_c);
  }
  /* What pads the row is multiplied by zeros, and read: it must be something. */
  while (to != end) *to++ = 0;
}

void eag_conv_2d_s16_dsp(const struct eag_conv_2d_s16_dsp_params *p, const int16_t *in,
                         int16_t *out, void *scratch) {
  const struct eag_mac_s16 m = {p->weights, p->bias,        p->factor,  p->row,
                                p->out_c,   p->per_channel, p->act_min, p->act_max};
  int16_t *windows = scratch;
  uint32_t filled = 0;
  if (p->tile_pixels == 0) {
    const uint32_t pixels = (uint32_t)p->out_h * p->out_w;
    for (uint32_t i = 0; i < pixels; i += 2) {
      eag_mac_s16_all(&m, in + i * p->in_c, p->in_c, pixels - i < 2 ? 1 : 2, out + i * p->out_c);
    }
    return;
  }
  for (int32_t y = 0; y < p->out_h; y++) {
    for (int32_t x = 0; x < p->out_w; x++) {
      gather(p, in, y * p->stride_h - p->pad_h, x * p->stride_w - p->pad_w,
             windows + filled * p->row);
      filled++;
      if (filled == p->tile_pixels || (y + 1 == p->out_h && x + 1 == p->out_w)) {
        eag_mac_s16_all(&m, windows, p->row, filled, out);
        out += filled * p->out_c;
        filled = 0;
      }
    }
  }
}
