/* Exception entry and return (DDI 0403E B1.5.6 to B1.5.8), with FP registers stacked at entry
 * and not lazily. A byte on a serial line costs one of each, so they are worth being C.
 */
#include "machine.h"

#include <string.h>

#define BASIC_FRAME 0x20u
#define EXTENDED_FRAME 0x68u
#define FPCA 4u
#define SPSEL 2u
#define XPSR_ALIGNED 0x200u
#define XPSR_FLAGS 0xf80f0000u /* N Z C V Q, GE */
#define XPSR_T 0x01000000u
#define ENTRY_CYCLES 12u

static uint32_t get(struct eag_machine *m, void *uc, int index) {
  uint64_t value = 0;
  m->register_read(uc, m->register_ids[index], &value);
  return (uint32_t)value;
}

static void set(struct eag_machine *m, void *uc, int index, uint32_t value) {
  uint64_t wide = value;
  m->register_write(uc, m->register_ids[index], &wide);
}

static uint8_t *stack_bytes(struct eag_machine *m, uint32_t address, uint32_t size) {
  struct eag_region *region = eag_find_region(m, address);
  if (region == NULL || !region->writable || address - region->base > region->size - size)
    return NULL;
  return region->bytes + (address - region->base);
}

uint32_t eag_enter(struct eag_machine *m, void *uc, uint32_t number, uint32_t return_address) {
  const uint32_t control = get(m, uc, EAG_CONTROL);
  const uint32_t xpsr = get(m, uc, EAG_XPSR);
  const uint32_t sp = get(m, uc, EAG_SP);
  const bool extended = control & FPCA;
  const uint32_t size = extended ? EXTENDED_FRAME : BASIC_FRAME;
  const uint32_t frame = (sp - size) & ~(m->align_stack ? 4u : 0u);
  uint32_t words[EXTENDED_FRAME / 4] = {0};
  for (int i = 0; i < 4; ++i) words[i] = get(m, uc, i);
  words[4] = get(m, uc, 12);
  words[5] = get(m, uc, EAG_LR);
  words[6] = return_address;
  words[7] = (xpsr & ~XPSR_ALIGNED) | (m->align_stack && (sp & 4) ? XPSR_ALIGNED : 0);
  if (extended) {
    for (int i = 0; i < 16; ++i) words[8 + i] = get(m, uc, EAG_S0 + i);
    words[24] = get(m, uc, EAG_FPSCR);
    m->fp_context_address = frame + BASIC_FRAME;
  }
  uint32_t result = EAG_STACKED;
  uint8_t *bytes = stack_bytes(m, frame, size);
  if (m->mpu_count && !(eag_mpu_permissions(m, frame) & eag_mpu_permissions(m, frame + size - 4) &
                        EAG_WRITE))
    result = EAG_STACK_PROTECTED;
  else if (bytes == NULL)
    result = EAG_STACK_NOWHERE;
  else
    memcpy(bytes, words, size);

  uint32_t exc_return = m->active_depth ? 0xfffffff1u : control & SPSEL ? 0xfffffffdu : 0xfffffff9u;
  if (extended) exc_return &= ~0x10u;
  set(m, uc, EAG_SP, frame); /* of the stack in use; CONTROL then selects MSP */
  set(m, uc, EAG_CONTROL, control & 1);
  set(m, uc, EAG_XPSR, (xpsr & (XPSR_FLAGS | 0x1ffu)) | XPSR_T);
  set(m, uc, EAG_IPSR, number);
  set(m, uc, EAG_LR, exc_return);
  if (m->active_depth == 0) m->handler_since = m->instructions;
  if (m->active_depth < EAG_ACTIVE) m->active[m->active_depth++] = number;
  m->cycles += ENTRY_CYCLES;
  m->it_start = m->it_end = 0;
  m->event = 1;
  return result;
}

uint32_t eag_leave(struct eag_machine *m, void *uc, uint32_t exc_return, uint32_t *pc) {
  const bool to_thread = exc_return & 8;
  const bool extended = !(exc_return & 0x10);
  const int stack = exc_return & 4 ? EAG_PSP : EAG_MSP;
  if ((exc_return & 0xffffffe0u) != 0xffffffe0u || m->active_depth == 0 ||
      to_thread != (m->active_depth == 1))
    return EAG_BAD_RETURN;
  const uint32_t size = extended ? EXTENDED_FRAME : BASIC_FRAME;
  const uint32_t frame = get(m, uc, stack);
  const uint8_t *bytes = stack_bytes(m, frame, size);
  if (bytes == NULL) return EAG_UNSTACK_NOWHERE;
  uint32_t words[EXTENDED_FRAME / 4];
  memcpy(words, bytes, size);

  const uint32_t left = m->active[--m->active_depth];
  if (left != 2) set(m, uc, EAG_FAULTMASK, 0); /* NMI leaves it alone */
  if (m->active_depth == 0) m->handler_instructions += m->instructions - m->handler_since;
  const uint32_t outer = m->active_depth ? m->active[m->active_depth - 1] : 0;
  const uint32_t control = get(m, uc, EAG_CONTROL) & 1;
  set(m, uc, EAG_XPSR, (words[7] & XPSR_FLAGS) | XPSR_T | outer);
  set(m, uc, EAG_IPSR, outer);
  if (extended) {
    for (int i = 0; i < 16; ++i) set(m, uc, EAG_S0 + i, words[8 + i]);
    set(m, uc, EAG_FPSCR, words[24]);
  }
  set(m, uc, stack, (frame + size) | (words[7] & XPSR_ALIGNED && m->align_stack ? 4u : 0u));
  set(m, uc, EAG_CONTROL, control | (extended ? FPCA : 0) | (exc_return & 4 ? SPSEL : 0));
  for (int i = 0; i < 4; ++i) set(m, uc, i, words[i]);
  set(m, uc, 12, words[4]);
  set(m, uc, EAG_LR, words[5]);
  m->cycles += ENTRY_CYCLES;
  m->event = 1;
  *pc = words[6] & ~1u;
  return EAG_LEFT;
}
