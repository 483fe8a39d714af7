#include "server/api/crc32c.h"

#include <boost/crc.hpp>

extern "C" uint32_t crc32c(struct str s)
{
    boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
    crc.process_bytes(s.p, s.n);
    return crc.checksum();
}
