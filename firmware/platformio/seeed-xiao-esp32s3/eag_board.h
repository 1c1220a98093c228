/* Made from the board file seeed-xiao-esp32s3. */
#ifndef EAG_BOARD_H
#define EAG_BOARD_H
#define EAG_BOARD_NAME "seeed-xiao-esp32s3"
#define EAG_CLOCK_HZ 240000000u
#define EAG_OSCILLATOR_HZ 40000000u
#define EAG_OSCILLATOR_BYPASS 0
#define EAG_OSCILLATOR_INTERNAL 0
#define EAG_ICACHE 0
#define EAG_DCACHE 0
#define EAG_FLASH_ADDRESS 0x00010000u
#define EAG_FLASH_BYTES 0x330000u
#define EAG_MPU_REGIONS 0
#define EAG_CONSOLE_BAUD 115200u
#define EAG_CONSOLE_USB 1
#define EAG_TIMING_PIN 3
#endif
