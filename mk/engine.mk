# SPDX-License-Identifier: MIT
# The installer travels inside of the program (src/engine/find.c): .incbin is nothing that -MMD sees.
$(B)/src/engine/find.o: tools/engine/install.sh
