/* Prints what CMSIS-NN's own functions say of the scratch memory of each row of rows.inc, under
 * semihosting. Built, once for each kind of core, and read by tools/tflm_arena/scratch.py.
 */

#include <stdint.h>

#include "arm_nnfunctions.h"

typedef struct {
  int n, h, w, c;             /* input */
  int kernel_h, kernel_w;
  int filter_c, out_c;
  int stride_h, stride_w, dilation_h, dilation_w;
  int pad_h, pad_w, out_h, out_w;
} row;

static const row rows[] = {
#include "rows.inc"
};

static void semihost(int operation, const void *parameters) {
  register long r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = parameters;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void say(long value, char end) {
  char text[16], *at = text + sizeof text;
  *--at = 0;
  *--at = end;
  unsigned long rest = value < 0 ? 0ul - (unsigned long)value : (unsigned long)value;
  do {
    *--at = (char)('0' + rest % 10);
  } while (rest /= 10);
  if (value < 0) *--at = '-';
  semihost(0x04, at);
}

int main(void) {
  for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
    const row *r = &rows[i];
    const cmsis_nn_dims x = {r->n, r->h, r->w, r->c}, out = {r->n, r->out_h, r->out_w, r->out_c};
    const cmsis_nn_dims filter = {r->out_c, r->kernel_h, r->kernel_w, r->filter_c};
    const cmsis_nn_dims depthwise_filter = {1, r->kernel_h, r->kernel_w, r->out_c};
    const cmsis_nn_dims dense = {.n = r->c, .h = 1, .w = 1, .c = r->out_c};
    const cmsis_nn_dims features = {.n = r->out_c, .h = r->c};
    const cmsis_nn_tile stride = {.w = r->stride_w, .h = r->stride_h};
    const cmsis_nn_tile pad = {.w = r->pad_w, .h = r->pad_h};
    const cmsis_nn_tile dilation = {.w = r->dilation_w, .h = r->dilation_h};
    const cmsis_nn_conv_params conv = {.stride = stride, .padding = pad, .dilation = dilation};
    const cmsis_nn_dw_conv_params depthwise = {
        .stride = stride, .padding = pad, .dilation = dilation, .ch_mult = 1};
    const cmsis_nn_transpose_conv_params transpose = {.stride = stride};
    say(arm_convolve_wrapper_s8_get_buffer_size(&conv, &x, &filter, &out), ' ');
    say(arm_convolve_wrapper_s16_get_buffer_size(&conv, &x, &filter, &out), ' ');
    say(arm_depthwise_conv_wrapper_s8_get_buffer_size(&depthwise, &x, &depthwise_filter, &out), ' ');
    say(arm_depthwise_conv_wrapper_s4_get_buffer_size(&depthwise, &x, &depthwise_filter, &out), ' ');
    say(arm_transpose_conv_s8_get_buffer_size(&transpose, &x, &filter, &out), ' ');
    say(arm_transpose_conv_s8_get_reverse_conv_buffer_size(&transpose, &x, &filter), ' ');
    say(arm_fully_connected_s8_get_buffer_size(&dense), ' ');
    say(arm_svdf_s8_get_buffer_size(&features), ' ');
    say(arm_avgpool_s8_get_buffer_size(r->out_w, r->c), ' ');
    say(arm_avgpool_s16_get_buffer_size(r->out_w, r->c), '\n');
  }
  return 0;
}

void reset(void) {
#ifdef __ARM_FEATURE_MVE
  *(volatile uint32_t *)0xE000ED88 |= 0xF << 20; /* Helium is off after a reset */
#endif
  const long status[2] = {0x20026, main()};
  semihost(0x20, status);
  for (;;) {
  }
}

__attribute__((section(".vectors"), used)) const void *const vectors[2] = {
    (void *)0x20008000, (void *)reset};
