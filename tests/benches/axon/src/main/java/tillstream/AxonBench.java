package tillstream;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.axonframework.commandhandling.CommandHandler;
import org.axonframework.commandhandling.gateway.CommandGateway;
import org.axonframework.common.caching.NoCache;
import org.axonframework.common.caching.WeakReferenceCache;
import org.axonframework.common.jdbc.DataSourceConnectionProvider;
import org.axonframework.common.jdbc.UnitOfWorkAwareConnectionProviderWrapper;
import org.axonframework.common.transaction.NoTransactionManager;
import org.axonframework.config.AggregateConfigurer;
import org.axonframework.config.Configuration;
import org.axonframework.config.DefaultConfigurer;
import org.axonframework.eventsourcing.EventSourcingHandler;
import org.axonframework.eventsourcing.eventstore.jdbc.JdbcEventStorageEngine;
import org.axonframework.eventsourcing.eventstore.jdbc.PostgresEventTableFactory;
import org.axonframework.modelling.command.AggregateIdentifier;
import org.axonframework.modelling.command.AggregateLifecycle;
import org.axonframework.modelling.command.TargetAggregateIdentifier;
import org.axonframework.serialization.json.JacksonSerializer;

/**
 * Axon Framework with its JDBC event store, measured like the other lines of the benchmark.
 *
 * <p>A command has one event, which one statement stores: it is its own transaction, without BEGIN and COMMIT.
 *
 * <p>Arguments: the JDBC address of an empty schema, how many seconds to measure, bytes of an event's payload. One line of standard
 * output for each measurement: its name, callers, calls per second, and the 50th and 99th percentile in nanoseconds.
 */
public final class AxonBench {
  /** As many connections as cqrs-es gets with postgres-es. */
  private static final int CONNECTIONS = 32;

  record Place(@TargetAggregateIdentifier String id, String payload) {}

  record Add(@TargetAggregateIdentifier String id, String payload) {}

  record Placed(@JsonProperty("id") String id, @JsonProperty("payload") String payload) {}

  /** An order that counts its events, as a user of Axon would write it. */
  public static class Order {
    @AggregateIdentifier private String id;
    private long events;

    Order() {}

    @CommandHandler
    Order(Place command) {
      AggregateLifecycle.apply(new Placed(command.id(), command.payload()));
    }

    @CommandHandler
    void handle(Add command) {
      AggregateLifecycle.apply(new Placed(command.id(), command.payload()));
    }

    @EventSourcingHandler
    void on(Placed event) {
      id = event.id();
      events++;
    }
  }

  /** Axon's own cache forgets at every garbage collection; this one keeps all, like one that is large enough. */
  private static final class KeepingCache extends WeakReferenceCache {
    private final Map<Object, Object> kept = new ConcurrentHashMap<>();

    @Override
    public void put(Object key, Object value) {
      kept.put(key, value);
      super.put(key, value);
    }

    @Override
    public boolean remove(Object key) {
      kept.remove(key);
      return super.remove(key);
    }
  }

  private static Configuration axon(HikariDataSource source, boolean cached) {
    var serializer = JacksonSerializer.defaultSerializer();
    var engine =
        JdbcEventStorageEngine.builder()
            .connectionProvider(
                new UnitOfWorkAwareConnectionProviderWrapper(new DataSourceConnectionProvider(source)))
            .transactionManager(NoTransactionManager.instance())
            .eventSerializer(serializer)
            .snapshotSerializer(serializer)
            .build();
    if (!cached) {
      engine.createSchema(PostgresEventTableFactory.INSTANCE);
    }
    return DefaultConfigurer.defaultConfiguration()
        .configureSerializer(c -> serializer)
        .configureEmbeddedEventStore(c -> engine)
        .configureAggregate(
            AggregateConfigurer.defaultConfiguration(Order.class)
                .configureCache(c -> cached ? new KeepingCache() : NoCache.INSTANCE))
        .start();
  }

  private interface Call {
    void make();
  }

  private static void measure(String name, int callers, long seconds, Call call) throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(callers);
    long start = System.nanoTime();
    long end = start + seconds * 1_000_000_000L;
    List<Future<long[]>> waiting = new ArrayList<>();
    for (int caller = 0; caller < callers; caller++) {
      waiting.add(
          threads.submit(
              () -> {
                var took = new long[1024];
                int count = 0;
                for (long sent = System.nanoTime(); sent < end; ) {
                  call.make();
                  long answered = System.nanoTime();
                  if (count == took.length) {
                    took = Arrays.copyOf(took, 2 * count);
                  }
                  took[count++] = answered - sent;
                  sent = answered;
                }
                return Arrays.copyOf(took, count);
              }));
    }
    var all = new ArrayList<long[]>();
    for (var one : waiting) {
      all.add(one.get());
    }
    double elapsed = (System.nanoTime() - start) / 1e9;
    threads.shutdown();
    long[] sorted = all.stream().flatMapToLong(Arrays::stream).sorted().toArray();
    System.out.printf(
        "%s %d %.1f %d %d%n",
        name,
        callers,
        sorted.length / elapsed,
        sorted[sorted.length / 2],
        sorted[(int) (sorted.length * 0.99)]);
  }

  public static void main(String[] args) throws Exception {
    long seconds = Long.parseLong(args[1]);
    String payload = "x".repeat(Integer.parseInt(args[2]));
    var settings = new HikariConfig();
    settings.setJdbcUrl(args[0]);
    settings.setMaximumPoolSize(CONNECTIONS);
    try (var source = new HikariDataSource(settings)) {
      Configuration plain = axon(source, false);
      CommandGateway gateway = plain.commandGateway();
      Call place = () -> gateway.sendAndWait(new Place(UUID.randomUUID().toString(), payload));
      measure("warm-up", 64, 2 * seconds, place);
      for (int callers : new int[] {1, 64, 256}) {
        measure("spread", callers, seconds, place);
      }
      String cold = gateway.sendAndWait(new Place(UUID.randomUUID().toString(), payload));
      measure("hot-uncached", 64, seconds, () -> gateway.sendAndWait(new Add(cold, payload)));
      plain.shutdown();

      Configuration caching = axon(source, true);
      CommandGateway cached = caching.commandGateway();
      String hot = cached.sendAndWait(new Place(UUID.randomUUID().toString(), payload));
      measure("hot-cached", 64, seconds, () -> cached.sendAndWait(new Add(hot, payload)));
      caching.shutdown();
    }
  }
}
