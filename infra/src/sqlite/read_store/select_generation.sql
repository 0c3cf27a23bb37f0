SELECT number FROM generations WHERE projection = ?1
