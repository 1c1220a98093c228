/* Made from the board file arduino-uno-r4-minima. */
#ifndef EAG_BOARD_H
#define EAG_BOARD_H
#define EAG_BOARD_NAME "arduino-uno-r4-minima"
#define EAG_CLOCK_HZ 48000000u
#define EAG_OSCILLATOR_HZ 48000000u
#define EAG_OSCILLATOR_BYPASS 0
#define EAG_OSCILLATOR_INTERNAL 1
#define EAG_ICACHE 0
#define EAG_DCACHE 0
#define EAG_FLASH_ADDRESS 0x00004000u
#define EAG_FLASH_BYTES 0x3c000u
#define EAG_MPU_REGIONS 8
#define EAG_CONSOLE_BAUD 115200u
#define EAG_CONSOLE_USB 1
#define EAG_TIMING_PIN 2
#endif
