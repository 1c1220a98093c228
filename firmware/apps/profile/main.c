/* The profile app: serves the wire until power goes. What ships, and what every figure is measured
 * with.
 */
#include "eag_port.h"
#include "eag_server.h"

int main(void) {
  eag_port_init();
  eag_server_init();
  for (;;)
    if (!eag_server_poll()) eag_port_sleep();
}
