/* Made from the board file nucleo-f746zg. */
#ifndef EAG_BOARD_H
#define EAG_BOARD_H
#define EAG_BOARD_NAME "nucleo-f746zg"
#define EAG_CLOCK_HZ 216000000u
#define EAG_OSCILLATOR_HZ 8000000u
#define EAG_OSCILLATOR_BYPASS 1
#define EAG_OSCILLATOR_INTERNAL 0
#define EAG_ICACHE 1
#define EAG_DCACHE 1
#define EAG_FLASH_ADDRESS 0x08000000u
#define EAG_MPU_REGIONS 8
#define EAG_CONSOLE_BAUD 115200u
#define EAG_CONSOLE_USART3 1
#define EAG_CONSOLE_ALTERNATE 7
#define EAG_CONSOLE_TX 'D', 8
#define EAG_CONSOLE_RX 'D', 9
#define EAG_TIMING_PIN 'F', 15
#endif
