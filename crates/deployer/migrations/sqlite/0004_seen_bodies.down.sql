DROP TABLE deliveries_of_guids;
DROP TABLE seen_bodies;
