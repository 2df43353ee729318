"""OMA DM: bootstrap packages and the sessions of DM 1.2, in XML and WBXML."""
