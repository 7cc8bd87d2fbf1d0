/* Field ids that more than one file needs. */
#ifndef FAKEDRIVER_FIELD_IDS_H
#define FAKEDRIVER_FIELD_IDS_H

#define FIELD_PCIE_SENT 197u
#define FIELD_PCIE_RECEIVED 198u
#define FIELD_LINK_SENT 202u
#define FIELD_LINK_RECEIVED 204u

#endif
