"""From predictions in raw geometry to scores, Table 1 and Figure 2."""
