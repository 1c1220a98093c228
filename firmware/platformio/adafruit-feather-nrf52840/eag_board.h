/* Made from the board file adafruit-feather-nrf52840. */
#ifndef EAG_BOARD_H
#define EAG_BOARD_H
#define EAG_BOARD_NAME "adafruit-feather-nrf52840"
#define EAG_CLOCK_HZ 64000000u
#define EAG_OSCILLATOR_HZ 32000000u
#define EAG_OSCILLATOR_BYPASS 0
#define EAG_OSCILLATOR_INTERNAL 0
#define EAG_ICACHE 0
#define EAG_DCACHE 0
#define EAG_FLASH_ADDRESS 0x00026000u
#define EAG_FLASH_BYTES 0xc7000u
#define EAG_MPU_REGIONS 8
#define EAG_CONSOLE_BAUD 115200u
#define EAG_CONSOLE_USB 1
#define EAG_TIMING_PIN 5
#endif
