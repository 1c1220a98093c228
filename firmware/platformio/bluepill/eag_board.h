/* Made from the board file bluepill. */
#ifndef EAG_BOARD_H
#define EAG_BOARD_H
#define EAG_BOARD_NAME "bluepill"
#define EAG_CLOCK_HZ 72000000u
#define EAG_OSCILLATOR_HZ 8000000u
#define EAG_OSCILLATOR_BYPASS 0
#define EAG_OSCILLATOR_INTERNAL 0
#define EAG_ICACHE 0
#define EAG_DCACHE 0
#define EAG_FLASH_ADDRESS 0x08000000u
#define EAG_MPU_REGIONS 0
#define EAG_CONSOLE_BAUD 115200u
#define EAG_CONSOLE_USART1 1
#define EAG_TIMING_PIN PB12
#endif
