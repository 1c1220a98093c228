/* The hooks that Unicorn calls for every instruction, and for accesses that need a second look.
 *
 * They run a hundred million times a second where a Python hook runs one million times, so what
 * must be checked at every instruction is checked here: the deadline, the instruction count, word
 * alignment of multi-word accesses, the FPU's enable bits and the MPU. Everything else is left to
 * Python, which reads `reason` after Unicorn has stopped.
 */
#include "machine.h"

static bool is_wide(uint16_t first) { return (first & 0xf800) >= 0xe800; }

/* Base register of an access that ARMv7-M wants word aligned whatever CCR says (DDI 0403E,
 * A3.2.1): LDM, STM, LDRD, STRD, LDREX, STREX, VLDM, VSTM, VLDR, VSTR. -1: not such an access.
 * SP is always aligned and PC-relative addresses are aligned by the instruction itself. */
static int word_base(uint16_t first, uint16_t second) {
  int base = -1;
  if ((first & 0xf000) == 0xc000) return (first >> 8) & 7; /* 16-bit LDM, STM */
  if (!is_wide(first)) return -1;
  if ((first & 0xfe40) == 0xe800) base = first & 15; /* LDM, STM */
  if ((first & 0xfe40) == 0xe840) {                  /* dual, exclusive, table branch */
    const bool plain = (first & 0x0120) == 0;        /* P = 0 and W = 0: exclusives, TBB */
    if (!plain)
      base = first & 15; /* LDRD, STRD */
    else if ((first & 0x0080) == 0)
      base = first & 15; /* LDREX, STREX, word */
  }
  if ((first & 0xfe00) == 0xec00 && (second & 0x0e00) == 0x0a00) {
    if ((first & 0x01a0) != 0) base = first & 15; /* VLDR, VSTR, VLDM, VSTM; else VMOV pair */
  }
  return base == 13 || base == 15 ? -1 : base;
}

/* What FPv5 added to FPv4: VSEL, VMAXNM, VMINNM, VRINT in all its kinds, and VCVT with a rounding
 * mode of its own. Unicorn runs them on every core that has an FPU. */
static bool is_fpv5(uint16_t first, uint16_t second) {
  if ((first & 0xff00) == 0xfe00) return true;
  const uint16_t plain = first & 0xffbf;
  return (plain == 0xeeb6 && (second & 0x0050) == 0x0040) ||
         (plain == 0xeeb7 && (second & 0x00d0) == 0x0040);
}

static uint8_t classify(const struct eag_machine *m, uint16_t first, uint16_t second) {
  uint8_t class = EAG_KNOWN;
  if ((first & 0xff00) == 0xbf00 && (first & 0x000f) != 0) class |= EAG_IT;
  if ((first & 0xffe0) == 0xb660) class |= EAG_MASKS; /* CPS */
  if (first == 0xbf40 || (first == 0xf3af && second == 0x8004)) class |= EAG_SEV;
  if (word_base(first, second) >= 0) class |= EAG_WORDS;
  if (is_wide(first)) {
    if ((first & 0xffe0) == 0xf380 && (second & 0xff00) == 0x8800) class |= EAG_MASKS; /* MSR */
    if ((first & 0xec00) == 0xec00 && (second & 0x0e00) == 0x0a00) {
      class |= EAG_FPU;
      /* CDP with coprocessor 11: arithmetic on d registers; moves to and from core registers
       * (bit 4 set) and loads and stores exist in a single-precision FPU too. */
      if ((first & 0x0f00) == 0x0e00 && (second & 0x0110) == 0x0100) class |= EAG_NO_SUCH;
      if (!m->fpv5 && is_fpv5(first, second)) class |= EAG_NO_SUCH;
    }
  }
  return class;
}

static uint16_t halfword(const struct eag_region *region, uint32_t offset) {
  if (offset + 2 > region->size) return 0;
  return (uint16_t)(region->bytes[offset] | region->bytes[offset + 1] << 8);
}

struct eag_region *eag_find_region(struct eag_machine *m, uint32_t address) {
  for (uint32_t i = 0; i < m->region_count; ++i)
    if (address - m->regions[i].base < m->regions[i].size) return &m->regions[i];
  return NULL;
}

/* Unicorn does not call the code hook for an instruction that its IT condition skips, while
 * QEMU's -icount and the core's own rule count it. So IT counts its whole block at once. */
static uint32_t begin_it(struct eag_machine *m, const struct eag_region *region, uint32_t pc,
                         uint16_t opcode) {
  uint32_t count = 4;
  uint32_t mask = opcode & 15u;
  while (mask != 0 && (mask & 1u) == 0) {
    mask >>= 1;
    --count;
  }
  uint32_t at = pc + 2;
  for (uint32_t i = 0; i < count; ++i)
    at += is_wide(halfword(region, at - region->base)) ? 4 : 2;
  m->it_start = pc + 2;
  m->it_end = at;
  return count;
}

static void stop(struct eag_machine *m, void *uc, uint32_t reason, uint32_t pc) {
  m->reason = reason;
  m->pc = pc;
  m->stop(uc);
}

void eag_on_code(void *uc, uint64_t address, uint32_t size, void *user) {
  struct eag_machine *m = user;
  const uint32_t pc = (uint32_t)address;
  (void)size;
  const bool in_it = pc - m->it_start < m->it_end - m->it_start;
  if (!in_it) {
    m->it_end = m->it_start = 0;
    if (m->cycles >= m->deadline) {
      stop(m, uc, EAG_DEADLINE, pc);
      return;
    }
    if (m->recheck) {
      m->recheck = 0;
      uint64_t control = 0;
      m->register_read(uc, m->register_ids[EAG_CONTROL], &control);
      if (control & 1) {
        stop(m, uc, EAG_UNPRIVILEGED, pc);
        return;
      }
      if (m->pending) {
        stop(m, uc, EAG_RECHECK, pc);
        return;
      }
    }
  }
  if (m->flush_tlb) {
    m->flush_tlb = 0;
    m->control(uc, m->tlb_flush_code);
  }
  struct eag_region *region = &m->regions[0];
  if (pc - region->base >= region->size) {
    region = eag_find_region(m, pc);
    if (region == NULL) {
      stop(m, uc, EAG_NOWHERE, pc);
      return;
    }
  }
  const uint32_t offset = pc - region->base;
  uint8_t class = region->classes[offset >> 1];
  if ((class & EAG_KNOWN) == 0) {
    class |= classify(m, halfword(region, offset), halfword(region, offset + 2));
    if (!(m->coherent && region->writable)) region->classes[offset >> 1] = class;
  }
  uint64_t count = in_it ? 0 : 1;
  if (class != EAG_KNOWN) {
    if ((class & EAG_MARK) && m->skip != pc) {
      stop(m, uc, EAG_MARKED, pc);
      return;
    }
    if ((class & EAG_FPU) && !m->fpu_enabled) {
      stop(m, uc, EAG_NO_FPU, pc);
      return;
    }
    if (class & EAG_NO_SUCH) {
      stop(m, uc, EAG_UNDEFINED, pc);
      return;
    }
    if (class & EAG_WORDS) {
      const uint16_t first = halfword(region, offset);
      uint32_t base = 0;
      m->register_read(uc, m->register_ids[word_base(first, halfword(region, offset + 2))], &base);
      if (base & 3) {
        stop(m, uc, EAG_UNALIGNED, pc); /* hooks of IT-skipped instructions do not come here */
        m->detail = base;
        return;
      }
    }
    if (class & EAG_MASKS) m->recheck = 1;
    if (class & EAG_SEV) m->event = 1;
    if (class & EAG_IT) count += begin_it(m, region, pc, halfword(region, offset));
  }
  m->skip = 1;
  m->pc = pc;
  m->instructions += count;
  m->cycles += count * (m->active_depth ? 1 : m->per_instruction);
}

static void record(struct eag_machine *m, uint32_t address, uint32_t what) {
  if (m->trace_capacity == 0 || m->active_depth) return;
  uint32_t *entry = m->trace + 2 * (size_t)m->trace_length;
  entry[0] = address;
  entry[1] = what;
  if (++m->trace_length == m->trace_capacity) {
    m->drain();
    m->trace_length = 0;
  }
}

void eag_on_block(void *uc, uint64_t address, uint32_t size, void *user) {
  (void)uc;
  record(user, (uint32_t)address, size);
}

void eag_on_data(void *uc, int type, uint64_t address, int size, int64_t value, void *user) {
  struct eag_machine *m = user;
  (void)uc;
  (void)value;
  record(m, (uint32_t)address,
         (uint32_t)size | EAG_TRACE_DATA | (type == 17 ? EAG_TRACE_WRITE : 0) |
             (m->pc >> 1) << EAG_TRACE_PC_SHIFT);
}

/* Unicorn splits an unaligned access to registers and hands the pieces on one by one. */
void eag_on_register(void *uc, int type, uint64_t address, int size, int64_t value, void *user) {
  struct eag_machine *m = user;
  (void)type;
  (void)value;
  if ((address & ((uint64_t)size - 1)) == 0) return;
  m->fault_address = (uint32_t)address;
  stop(m, uc, EAG_UNALIGNED_REGISTER, m->pc);
}

void eag_on_interrupt(void *uc, uint32_t number, void *user) {
  struct eag_machine *m = user;
  if (number == EAG_EXCEPTION_EXIT && m->active_depth && !m->pending && !m->sleep_on_exit) {
    const uint32_t irq = m->active[m->active_depth - 1] - 16;
    const bool again = irq < 128 && (m->lines[irq / 32] >> irq % 32 & 1);
    uint32_t pc = 0;
    m->register_read(uc, m->register_ids[EAG_PC], &pc);
    if (!again && eag_leave(m, uc, pc | 1, &pc) == EAG_LEFT) {
      pc |= 1;
      m->register_write(uc, m->register_ids[EAG_PC], &pc); /* Unicorn goes on from there */
      return;
    }
  }
  m->reason = EAG_INTERRUPT;
  m->detail = number;
  m->stop(uc);
}

/* What the MPU allows at an address: the highest-numbered region that holds it decides. */
uint32_t eag_mpu_permissions(const struct eag_machine *m, uint32_t address) {
  for (uint32_t i = m->mpu_count; i-- > 0;) {
    const struct eag_mpu_region *r = &m->mpu[i];
    if (r->last < r->base || address < r->base || address > r->last) continue;
    const uint32_t eighth = (r->last - r->base) / 8 + 1;
    if (r->last - r->base >= 255 && (r->subregions >> ((address - r->base) / eighth) & 1)) continue;
    return r->permissions;
  }
  return m->mpu_background;
}

/* Pages that an MPU region covers in part are closed as a whole and looked at here. Unicorn's
 * types: 16.. read, write, fetch unmapped 19, 20, 21; protected write 22, read 23, fetch 24. */
bool eag_on_access(void *uc, int type, uint64_t address, int size, int64_t value, void *user) {
  struct eag_machine *m = user;
  (void)uc;
  m->fault_value = (uint64_t)value;
  m->fault_kind = (uint32_t)type;
  m->fault_address = (uint32_t)address;
  m->fault_size = (uint32_t)size;
  if (type < 22 || m->mpu_count == 0) return false;
  const struct eag_region *region = eag_find_region(m, (uint32_t)address);
  if (region == NULL || (type == 22 && !region->writable)) return false;
  const uint32_t need = type == 22 ? EAG_WRITE : type == 23 ? EAG_READ : EAG_EXECUTE;
  const uint32_t last = (uint32_t)address + (size > 0 ? (uint32_t)size - 1 : 0);
  const bool allowed = (eag_mpu_permissions(m, (uint32_t)address) & need) &&
                       (eag_mpu_permissions(m, last) & need);
  /* The page is now in Unicorn's TLB, which would let the next access pass unseen. */
  if (allowed) m->flush_tlb = 1;
  return allowed;
}
