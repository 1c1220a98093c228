/* The profile app as an Arduino sketch; main.c is the same where no framework brings a main(). */
#include <Arduino.h>

#include "eag_port.h"
#include "eag_server.h"

void setup() {
  eag_port_init();
  eag_server_init();
}

void loop() {
  if (!eag_server_poll()) eag_port_sleep();
}
