/* Says what TFLM takes of its arena: for each model of a list, its memory plan, what
 * arena_used_bytes() reports, and the smallest arena that works. Runs under QEMU's mps2-an500 with
 * semihosting; built and read by tools/tflm_arena/__main__.py.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <new>

#include "tensorflow/lite/micro/arena_allocator/single_arena_buffer_allocator.h"
#include "tensorflow/lite/micro/cortex_m_generic/debug_log_callback.h"
#include "tensorflow/lite/micro/memory_planner/greedy_memory_planner.h"
#include "tensorflow/lite/micro/micro_allocation_info.h"
#include "tensorflow/lite/micro/micro_allocator.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {

/* The machine's PSRAM: the model, then the arena between two guards. */
uint8_t *const kModel = reinterpret_cast<uint8_t *>(0x60000000);
constexpr size_t kModelBytes = 8 * 1024 * 1024;
constexpr size_t kGuardBytes = 4096;
uint8_t *const kArena = kModel + kModelBytes + kGuardBytes;
constexpr size_t kArenaBytes = 6 * 1024 * 1024;
constexpr uint8_t kGuard = 0xA5;

constexpr size_t kStep = 16;     /* arenas are multiples of it */
constexpr size_t kNeighbours = 24; /* below the smallest that works, looked at one by one */
constexpr size_t kMostAbove = 8192;
constexpr int kMostBuffers = 4096;

/* SysTick at 25 MHz, with -icount shift=0: 40 instructions a tick. */
constexpr uint32_t kTicks = 8000000;
constexpr int kPeriodsToPrepare = 1, kPeriodsToInfer = 16;

long Semihost(int operation, const void *parameters) {
  register long r0 __asm__("r0") = operation;
  register const void *r1 __asm__("r1") = parameters;
  __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
  return r0;
}

void Say(const char *format, ...) {
  static char line[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  Semihost(0x04, line);
}

volatile uint32_t &Register(uint32_t address) {
  return *reinterpret_cast<volatile uint32_t *>(address);
}

/* Where an attempt that went wrong goes on: after a write through a null pointer, a check that
 * failed, or a loop without end, which is what an arena too small can lead to. */
jmp_buf recovery;
volatile int patience;
bool quiet;

void Watch(int periods) {
  Register(0xE000E010) = 0;
  patience = periods;
  if (periods == 0) return;
  Register(0xE000E014) = kTicks;
  Register(0xE000E018) = 0;
  Register(0xE000E010) = 7;
}

void Log(const char *text) {
  if (!quiet) Say("LOG %s\n", text);
  if (strstr(text, "HALTED") != nullptr) longjmp(recovery, 1);
}

long Load(const char *path, void *to, size_t most) {
  const long open[3] = {reinterpret_cast<long>(path), 1, static_cast<long>(strlen(path))};
  const long handle = Semihost(0x01, open);
  if (handle < 0) return -1;
  const long file[1] = {handle};
  const long size = Semihost(0x0C, file);
  long missing = 1;
  if (size >= 0 && static_cast<size_t>(size) <= most) {
    const long read[3] = {handle, reinterpret_cast<long>(to), size};
    missing = Semihost(0x06, read);
  }
  Semihost(0x02, file);
  return missing == 0 ? size : -1;
}

struct Planned {
  int size, first, last, offset;
};
Planned plan[kMostBuffers];
int planned, height;

/* TFLM's own planner, watched. */
class WatchedPlanner : public tflite::GreedyMemoryPlanner {
 public:
  TfLiteStatus AddBuffer(int size, int first, int last) override {
    if (planned < kMostBuffers) plan[planned++] = {size, first, last, 0};
    return GreedyMemoryPlanner::AddBuffer(size, first, last);
  }
  TfLiteStatus AddBuffer(int size, int first, int last, int offset) override {
    /* GreedyMemoryPlanner's comes back to the one above. */
    return GreedyMemoryPlanner::AddBuffer(size, first, last, offset);
  }
  TfLiteStatus GetOffsetForBuffer(int index, int *offset) override {
    const TfLiteStatus status = GreedyMemoryPlanner::GetOffsetForBuffer(index, offset);
    if (status == kTfLiteOk && index < planned) {
      plan[index].offset = *offset;
      if (*offset + plan[index].size > height) height = *offset + plan[index].size;
    }
    return status;
  }
  TF_LITE_REMOVE_VIRTUAL_DELETE
};

/* The plan that WatchedPlanner saw, as a program has it that brings its plan with it. */
class StoredPlanner : public tflite::MicroMemoryPlanner {
 public:
  TfLiteStatus Init(unsigned char *, int) override { return kTfLiteOk; }
  TfLiteStatus AddBuffer(int, int, int) override { return kTfLiteOk; }
  TfLiteStatus AddBuffer(int, int, int, int) override { return kTfLiteOk; }
  size_t GetMaximumMemorySize() override { return height; }
  int GetBufferCount() override { return planned; }
  TfLiteStatus GetOffsetForBuffer(int index, int *offset) override {
    *offset = plan[index].offset;
    return kTfLiteOk;
  }
  bool preserves_all_tensors() const override { return false; }
  TF_LITE_REMOVE_VIRTUAL_DELETE
};

constexpr unsigned kMethods = 0
#define REGISTER(method) +1
#include "methods.inc"
#undef REGISTER
    ;
using Resolver = tflite::MicroMutableOpResolver<kMethods>;
alignas(Resolver) uint8_t resolver_place[sizeof(Resolver)];
const Resolver *resolver;
const tflite::Model *model;

alignas(16) uint8_t interpreter_place[sizeof(tflite::MicroInterpreter)];
alignas(16) uint8_t planner_place[sizeof(WatchedPlanner) + sizeof(StoredPlanner)];

enum class Planner { kOwn, kWatched, kStored };

struct Outcome {
  size_t used;
  uint32_t digest;
};

/* Numbers that no kernel stumbles over: every byte for int8 and int16, small ones for floats, and
 * ones where they may be indices. */
void FillInputs(tflite::MicroInterpreter &interpreter) {
  uint32_t x = 1;
  for (size_t i = 0; i < interpreter.inputs_size(); ++i) {
    TfLiteTensor *tensor = interpreter.input(i);
    const bool integers = tensor->type == kTfLiteInt32 || tensor->type == kTfLiteInt64;
    memset(tensor->data.raw, 0, tensor->bytes);
    for (size_t n = 0; n < tensor->bytes; ++n) {
      x = x * 1664525u + 1013904223u;
      const int8_t byte = static_cast<int8_t>(x >> 24);
      if (tensor->type == kTfLiteFloat32) {
        if (n % sizeof(float) == 0) tensor->data.f[n / sizeof(float)] = byte / 16.0f;
      } else if (integers) {
        const size_t width = tensor->type == kTfLiteInt32 ? 4 : 8;
        tensor->data.raw[n] = n % width == 0;
      } else {
        tensor->data.raw[n] = tensor->type == kTfLiteBool ? byte & 1 : byte;
      }
    }
  }
}

uint32_t Digest(tflite::MicroInterpreter &interpreter) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < interpreter.outputs_size(); ++i) {
    const TfLiteTensor *tensor = interpreter.output(i);
    for (size_t n = 0; n < tensor->bytes; ++n) {
      hash = (hash ^ static_cast<uint8_t>(tensor->data.raw[n])) * 16777619u;
    }
  }
  return hash;
}

tflite::MicroInterpreter *Interpreter(size_t arena, Planner planner) {
  if (planner == Planner::kOwn) {
    return new (interpreter_place) tflite::MicroInterpreter(model, *resolver, kArena, arena);
  }
  tflite::MicroMemoryPlanner *own = planner == Planner::kStored
                                        ? static_cast<tflite::MicroMemoryPlanner *>(
                                              new (planner_place) StoredPlanner())
                                        : new (planner_place) WatchedPlanner();
  return new (interpreter_place) tflite::MicroInterpreter(
      model, *resolver, tflite::MicroAllocator::Create(kArena, arena, own));
}

bool Run(size_t arena, Planner planner, bool infer, Outcome *outcome) {
  tflite::MicroInterpreter *interpreter = Interpreter(arena, planner);
  if (interpreter->AllocateTensors() != kTfLiteOk) return false;
  outcome->used = interpreter->arena_used_bytes();
  if (!infer) return true;
  FillInputs(*interpreter);
  if (interpreter->Invoke() != kTfLiteOk) return false;
  outcome->digest = Digest(*interpreter);
  return true;
}

bool GuardsHold(size_t arena) {
  for (size_t i = 0; i < kGuardBytes; ++i) {
    if (*(kArena - 1 - i) != kGuard || kArena[arena + i] != kGuard) return false;
  }
  return true;
}

/* Whether an arena of that size will do: nothing outside it was written to, either. */
bool Attempt(size_t arena, Planner planner, bool infer, Outcome *outcome) {
  memset(kArena - kGuardBytes, kGuard, kGuardBytes);
  memset(kArena, 0, arena);
  memset(kArena + arena, kGuard, kGuardBytes);
  volatile bool worked = false;
  Watch(infer ? kPeriodsToInfer : kPeriodsToPrepare);
  if (setjmp(recovery) == 0) worked = Run(arena, planner, infer, outcome);
  Watch(0);
  return worked && GuardsHold(arena);
}

/* Nothing promises that all arenas above a size work and none below: the least is sought by
 * halving, its neighbours are looked at one by one, and it has to give the same result. */
void FindSmallest(const char *label, Planner planner, const Outcome &reference) {
  Outcome outcome;
  size_t low = 0, smallest = (reference.used + kMostAbove) / kStep * kStep;
  const size_t most = smallest;
  while (smallest - low > kStep) {
    const size_t middle = (low + smallest) / 2 / kStep * kStep;
    (Attempt(middle, planner, false, &outcome) ? smallest : low) = middle;
  }
  for (size_t n = 1; n <= kNeighbours && n * kStep < smallest; ++n) {
    if (Attempt(smallest - n * kStep, planner, false, &outcome)) {
      Say("LOG %s: %u works, too\n", label, static_cast<unsigned>(smallest - n * kStep));
    }
  }
  while (smallest < most && !(Attempt(smallest, planner, true, &outcome) &&
                              outcome.digest == reference.digest)) {
    smallest += kStep;
  }
  Say("%s %u\n", label, static_cast<unsigned>(smallest));
}

void Measure(const char *path) {
  Say("MODEL %s\n", path);
  planned = height = 0;
  quiet = false;
  Outcome reference, watched;
  if (Load(path, kModel, kModelBytes) < 0) {
    Say("FAILED\n");
    return;
  }
  model = tflite::GetModel(kModel);
  if (!Attempt(kArenaBytes, Planner::kWatched, false, &watched) ||
      !Attempt(kArenaBytes, Planner::kOwn, true, &reference)) {
    Say("FAILED\n");
    return;
  }
  for (int i = 0; i < planned; ++i) {
    Say("BUFFER %d %d %d %d\n", plan[i].size, plan[i].first, plan[i].last, plan[i].offset);
  }
  Say("USED %u\nDIGEST %08x\n", static_cast<unsigned>(reference.used),
      static_cast<unsigned>(reference.digest));
  quiet = true;
  FindSmallest("SMALLEST", Planner::kOwn, reference);
  FindSmallest("PLANNED", Planner::kStored, reference);
}

}  // namespace

extern "C" {

int main() {
  RegisterDebugLogCallback(Log);
  Resolver *made = new (resolver_place) Resolver();
#define REGISTER(method) made->method();
#include "methods.inc"
#undef REGISTER
  resolver = made;
#define SIZE(type) Say("SIZE %s %u %u\n", #type, unsigned(sizeof(type)), unsigned(alignof(type)));
#include "structs.inc"
#undef SIZE
  Say("SIZE per_buffer_size %u 4\n", unsigned(tflite::GreedyMemoryPlanner::per_buffer_size()));
  static char command[4096], list[256 * 1024];
  const long line[2] = {reinterpret_cast<long>(command), sizeof command};
  const char *name = Semihost(0x15, line) == 0 ? strchr(command, ' ') : nullptr;
  if (name == nullptr || Load(name + 1, list, sizeof list - 1) < 0) {
    Say("FAILED\n");
    return 1;
  }
  for (char *path = strtok(list, "\n"); path != nullptr; path = strtok(nullptr, "\n")) {
    Measure(path);
  }
  Say("DONE\n");
  return 0;
}

extern uint32_t __stack, __bss_start, __bss_end, __data_start, __data_end, __data_load;
extern void (*__init_array_start[])();
extern void (*__init_array_end[])();

void Reset() {
  Register(0xE000ED88) |= 0xF << 20; /* the FPU */
  Register(0xE000ED24) |= 7 << 16;   /* faults of their own */
  /* No access to the first 4 KB: a write through a null pointer is a fault, not a lost vector. */
  Register(0xE000ED98) = 0;
  Register(0xE000ED9C) = 0;
  Register(0xE000EDA0) = (1u << 28) | (11 << 1) | 1;
  Register(0xE000ED94) = 5;
  __asm__ volatile("dsb\nisb");
  memcpy(&__data_start, &__data_load,
         reinterpret_cast<char *>(&__data_end) - reinterpret_cast<char *>(&__data_start));
  memset(&__bss_start, 0,
         reinterpret_cast<char *>(&__bss_end) - reinterpret_cast<char *>(&__bss_start));
  for (auto f = __init_array_start; f != __init_array_end; ++f) (*f)();
  const long status[2] = {0x20026, main()};
  Semihost(0x20, status);
  for (;;) {
  }
}

void Recover() { longjmp(recovery, 1); }

/* `frame` is what the exception put on the stack: it returns to Recover. */
void Resume(uint32_t *frame) {
  if ((Register(0xE000ED04) & 511) == 15) {
    patience = patience - 1;
    if (patience > 0) return;
  }
  if (!quiet) Say("LOG stopped at %08x\n", static_cast<unsigned>(frame[6]));
  Register(0xE000ED28) = 0xFFFFFFFF;
  frame[6] = reinterpret_cast<uint32_t>(Recover) & ~1u;
  frame[7] = 1u << 24;
}

__attribute__((naked)) void Exception() {
  __asm__ volatile("mov r0, sp\n  push {r4, lr}\n  bl Resume\n  pop {r4, pc}");
}

__attribute__((section(".vectors"), used)) const void *const vectors[16] = {
    &__stack,
    reinterpret_cast<void *>(Reset),
    reinterpret_cast<void *>(Exception),
    reinterpret_cast<void *>(Exception),
    reinterpret_cast<void *>(Exception),
    reinterpret_cast<void *>(Exception),
    reinterpret_cast<void *>(Exception),
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    reinterpret_cast<void *>(Exception),
};

/* What newlib asks of a system; there is none. */
void *_sbrk(int) { return reinterpret_cast<void *>(-1); }
int _close(int) { return -1; }
int _fstat(int, void *) { return -1; }
int _isatty(int) { return 0; }
int _lseek(int, int, int) { return -1; }
int _read(int, char *, int) { return -1; }
int _write(int, char *, int) { return -1; }
int _getpid() { return 1; }
int _kill(int, int) { return -1; }
void _exit(int) {
  for (;;) {
  }
}
}
