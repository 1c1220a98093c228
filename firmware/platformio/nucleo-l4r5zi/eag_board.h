/* Made from the board file nucleo-l4r5zi. */
#ifndef EAG_BOARD_H
#define EAG_BOARD_H
#define EAG_BOARD_NAME "nucleo-l4r5zi"
#define EAG_CLOCK_HZ 120000000u
#define EAG_OSCILLATOR_HZ 16000000u
#define EAG_OSCILLATOR_BYPASS 0
#define EAG_OSCILLATOR_INTERNAL 1
#define EAG_ICACHE 1
#define EAG_DCACHE 1
#define EAG_FLASH_ADDRESS 0x08000000u
#define EAG_MPU_REGIONS 8
#define EAG_CONSOLE_BAUD 115200u
#define EAG_CONSOLE_LPUART1 1
#define EAG_CONSOLE_ALTERNATE 8
#define EAG_CONSOLE_TX 'G', 7
#define EAG_CONSOLE_RX 'G', 8
#define EAG_TIMING_PIN 'F', 15
#endif
