"""Writers of foreign formats: back into annotation tools, and on into tables and graphs."""
