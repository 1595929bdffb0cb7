-- A program without it compares the causes of runs, which say the same.
DROP TABLE blocked;
