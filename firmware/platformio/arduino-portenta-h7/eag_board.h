/* Made from the board file arduino-portenta-h7. */
#ifndef EAG_BOARD_H
#define EAG_BOARD_H
#define EAG_BOARD_NAME "arduino-portenta-h7"
#define EAG_CLOCK_HZ 400000000u
#define EAG_OSCILLATOR_HZ 25000000u
#define EAG_OSCILLATOR_BYPASS 1
#define EAG_OSCILLATOR_INTERNAL 0
#define EAG_ICACHE 1
#define EAG_DCACHE 1
#define EAG_FLASH_ADDRESS 0x08040000u
#define EAG_FLASH_BYTES 0xc0000u
#define EAG_MPU_REGIONS 16
#define EAG_CONSOLE_BAUD 115200u
#define EAG_CONSOLE_USB 1
#define EAG_TIMING_PIN 2
#endif
