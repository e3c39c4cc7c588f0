"""What made each file: records that jobs leave, the story of a cell, and the check of a published folder."""
