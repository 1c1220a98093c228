"""The peripherals of the STM32F746 that firmware touches, one module a kind (RM0385)."""
