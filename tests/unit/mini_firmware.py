"""The smallest firmware that links: a vector table, an app, one model. For tests of the build."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge_boards import data_path
from edge_boards.toolchain import ModelSources

PORT = """
#include <stdint.h>
#include "eag_build_id.h"
extern uint32_t eag_stack_top[];
extern uint8_t eag_image_bytes[];
int main(void);
void eag_reset(void);
void eag_reset(void) { main(); for (;;) {} }
typedef struct { const void *entry; } vector;
__attribute__((section(".eag_vectors"), used)) const vector eag_vectors[] = {
    {eag_stack_top}, {(const void *)eag_reset}, {(const void *)eag_reset},
    {(const void *)eag_reset}};
static const uint8_t id[8] = EAG_BUILD_ID;
__attribute__((section(".eag_image_info"), used)) const uint32_t info[3] = {
    0x31474145, (uint32_t)eag_image_bytes, (uint32_t)id};
"""

APP = """
#include "eag_model.h"
extern const eag_model *const eag_models[];
extern const unsigned eag_model_count;
int counter = 3;
static int history[20];
static uint8_t ring[512] __attribute__((section(".eag_rings")));
uint32_t boots __attribute__((section(".noinit")));
__attribute__((section(".eag_code.itcm"), noinline)) int fast(int a);
int fast(int a) { return a * counter; }
int main(void);
int main(void) {
  boots++;
  history[counter] = fast(counter) + ring[boots & 511];
  ring[3] = 1;
  for (unsigned i = 0; i < eag_model_count; i++)
    for (unsigned s = 0; s < eag_models[i]->step_count; s++) eag_models[i]->steps[s]();
  return history[2];
}
"""

MODEL = """
#include "eag_model.h"
EAG_CONST(weights, flash) EAG_ALIGNED(16) static const int8_t w[100] = {1, 2, 3};
EAG_CONST(weights, sram) EAG_ALIGNED(16) static const int8_t v[60] = {4, 5, 6};
EAG_CONST(table, flash) EAG_ALIGNED(4) static const int32_t t[10] = {7, 8, 9};
EAG_ARENA(dtcm) EAG_ALIGNED(16) static uint8_t near[1000];
EAG_ARENA(sram) EAG_ALIGNED(16) static uint8_t far[2000];
static void step(void) {
  for (int i = 0; i < 60; i++) near[i] = (uint8_t)(w[i] + v[i] * t[near[i] % 10]);
  for (int i = 0; i < 500; i++) far[i] = near[i];
}
static const eag_step_fn steps[] = {step};
static const eag_block blocks[] = {{near, sizeof near}, {far, sizeof far}};
const eag_model mini_model = {
    .name = "mini", .steps = steps, .arena = blocks, .step_count = 1, .arena_count = 2};
"""


def make_firmware(folder: Path, *, app: str = APP, port: str = PORT) -> Path:
    """A firmware folder with the shipped libc and model header, and an app named `mini`."""
    for name in ("runtime", "ports/stm32f7", "apps/mini"):
        (folder / name).mkdir(parents=True)
    for name in ("eag_libc.c", "eag_libc.h", "eag_model.h"):
        shutil.copy(data_path("firmware", "runtime", name), folder / "runtime")
    (folder / "ports/stm32f7/start.c").write_text(port)
    (folder / "apps/mini/main.c").write_text(app)
    return folder


def make_model(folder: Path, source: str = MODEL) -> ModelSources:
    """The model that goes with it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mini.c"
    path.write_text(source)
    return ModelSources(
        name="mini",
        sources=(path,),
        include_dirs=(),
        weight_bytes=160,
        arena=(("dtcm", 1000), ("sram", 2000)),
        constants=(("w", "flash", 100), ("v", "sram", 60), ("t", "flash", 40)),
    )
