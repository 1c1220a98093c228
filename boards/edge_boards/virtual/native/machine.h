/* What the machine, its hooks (hooks.c) and its exceptions (exceptions.c) share.
 *
 * struct eag_machine is mirrored in native/__init__.py, field by field. Nothing of Unicorn is
 * included or linked: its functions arrive as pointers.
 */
#ifndef EAG_VIRTUAL_MACHINE_H
#define EAG_VIRTUAL_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EAG_REGIONS 8
#define EAG_MPU_REGIONS 16
#define EAG_ACTIVE 32 /* more handlers than there are priorities cannot nest */

enum eag_reason {
  EAG_RAN = 0,       /* Unicorn stopped by itself: an error, or WFI */
  EAG_DEADLINE = 1,  /* `cycles` reached `deadline`, or Python asked */
  EAG_MARKED = 2,    /* at a marked address, not yet executed */
  EAG_UNALIGNED = 3, /* a multi-word access from an unaligned base, not executed */
  EAG_UNDEFINED = 4, /* an instruction that this FPU does not have, not executed */
  EAG_NO_FPU = 5,    /* an FPU instruction with CPACR closed, not executed */
  EAG_RECHECK = 6,   /* an interrupt mask was written while something was pending */
  EAG_INTERRUPT = 7, /* Unicorn's own exception; `detail` is its number */
  EAG_NOWHERE = 8,   /* an instruction outside every region */
  EAG_UNPRIVILEGED = 9, /* CONTROL.nPRIV was set */
  EAG_UNALIGNED_REGISTER = 10 /* an access to `fault_address`, which went wrong */
};

/* What is known of the instruction at an address; one byte per halfword of memory. */
enum eag_class {
  EAG_KNOWN = 0x80,
  EAG_WORDS = 0x01,  /* needs a word-aligned base */
  EAG_NO_SUCH = 0x02, /* data processing that this FPU does not have: double precision, FPv5 */
  EAG_FPU = 0x04,    /* any coprocessor 10/11 instruction */
  EAG_MASKS = 0x08,  /* CPS, or MSR to a special register */
  EAG_IT = 0x10,
  EAG_MARK = 0x20, /* set by Python */
  EAG_SEV = 0x40
};

/* A trace entry's second word: bytes, and what it was; neither flag: a block of code begins. A data
 * access has half its instruction's address, as far as it fits, in the upper bits. */
enum {
  EAG_TRACE_DATA = 0x10000,
  EAG_TRACE_WRITE = 0x20000,
  EAG_TRACE_CUT = 0x40000,
  EAG_TRACE_PC_SHIFT = 19
};

enum { EAG_NO_ACCESS = 0, EAG_READ = 1, EAG_WRITE = 2, EAG_EXECUTE = 4 };

/* Indices of register_ids; R0..R12 are 0..12. */
enum {
  EAG_SP = 13,
  EAG_LR,
  EAG_PC,
  EAG_XPSR,
  EAG_IPSR,
  EAG_MSP,
  EAG_PSP,
  EAG_CONTROL,
  EAG_FAULTMASK,
  EAG_FPSCR,
  EAG_S0,
  EAG_REGISTER_COUNT = EAG_S0 + 16
};

struct eag_region {
  uint32_t base;
  uint32_t size;
  uint8_t *bytes;
  uint8_t *classes;
  uint32_t writable;
  uint32_t padding;
};

struct eag_mpu_region {
  uint32_t base;
  uint32_t last;        /* inclusive */
  uint32_t subregions;  /* bit set: that eighth is disabled */
  uint32_t permissions; /* EAG_READ | ... */
};

struct eag_machine {
  uint64_t instructions; /* begun since power-on; IT-skipped ones included */
  uint64_t cycles;       /* modelled time */
  uint64_t deadline;     /* stop before the next instruction once cycles reach it */
  uint64_t per_instruction; /* cycles of one instruction; 0 while a cycle model adds its own */
  uint32_t reason;
  uint32_t detail;
  uint32_t pc;   /* of the last instruction begun */
  uint32_t skip; /* a marked address that is passed once */
  uint32_t it_start;
  uint32_t it_end;
  uint32_t recheck;       /* the last instruction wrote a mask */
  uint32_t pending;       /* Python: some exception waits for a mask to open */
  uint32_t fpu_enabled;
  uint32_t fault_kind; /* Unicorn's UC_MEM_* */
  uint32_t fault_address;
  uint32_t fault_size;
  uint64_t fault_value;
  uint32_t flush_tlb;
  uint32_t mpu_count;      /* 0: no MPU */
  uint32_t mpu_background; /* permissions where no region matches */
  struct eag_mpu_region mpu[EAG_MPU_REGIONS];
  uint32_t region_count;
  uint32_t trace_length; /* in entries of two words: address; size and EAG_TRACE_* */
  uint32_t trace_capacity;
  struct eag_region regions[EAG_REGIONS];
  uint32_t *trace;
  int (*stop)(void *uc);
  int (*register_read)(void *uc, int id, void *value);
  int (*control)(void *uc, uint32_t code, ...);
  void (*drain)(void); /* the trace is full */
  int (*register_write)(void *uc, int id, const void *value);
  int register_ids[EAG_REGISTER_COUNT];
  uint32_t tlb_flush_code;
  uint32_t active_depth; /* handlers running, outermost first in `active` */
  uint32_t active[EAG_ACTIVE];
  uint32_t lines[4]; /* interrupt lines that are high, by IRQ number */
  uint64_t handler_since;
  uint64_t handler_instructions; /* begun in handlers since reset */
  uint32_t align_stack;          /* CCR.STKALIGN */
  uint32_t fp_context_address;   /* FPCAR */
  uint32_t sleep_on_exit;        /* SCR.SLEEPONEXIT */
  uint32_t event;                /* the event register that WFE waits for */
  uint32_t fpv5;     /* the FPU is an FPv5, not an FPv4 */
  uint32_t coherent; /* code written to RAM runs at once: no instruction cache to be told */
};

/* Unicorn's number for a branch to an EXC_RETURN value. */
#define EAG_EXCEPTION_EXIT 8

struct eag_region *eag_find_region(struct eag_machine *m, uint32_t address);
uint32_t eag_mpu_permissions(const struct eag_machine *m, uint32_t address);

/* Exception entry: stacks a frame for `return_address`, makes `number` active, and gives what
 * went wrong while stacking. */
enum eag_entry { EAG_STACKED = 0, EAG_STACK_PROTECTED = 1, EAG_STACK_NOWHERE = 2 };
uint32_t eag_enter(struct eag_machine *m, void *uc, uint32_t number, uint32_t return_address);

/* Exception return with the value that was in LR. `*pc` is where execution goes on. */
enum eag_exit { EAG_LEFT = 0, EAG_BAD_RETURN = 1, EAG_UNSTACK_NOWHERE = 2 };
uint32_t eag_leave(struct eag_machine *m, void *uc, uint32_t exc_return, uint32_t *pc);

#endif

