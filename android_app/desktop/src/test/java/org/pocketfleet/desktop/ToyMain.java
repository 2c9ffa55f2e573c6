package org.pocketfleet.desktop;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import org.pocketfleet.Events;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.message.Records;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;
import org.pocketfleet.tensor.Tensor;
import org.pocketfleet.transport.ClientConfig;

/**
 * A client whose training adds one to every weight: the Java twin of {@code tests/toy_client.py},
 * with the same options.
 *
 * <p>It writes a line to {@code handled} in its state directory for each task it works on, and can
 * end itself, as a kill would, at the very moments at which a crash hurts most.
 */
public final class ToyMain {
  /** What its exit code is when it crashes on purpose. */
  private static final int CRASHED = 137;

  private static final Map<String, String> CRASHES = new HashMap<>();

  static {
    CRASHES.put("task-saved", "event=saved what=task");
    CRASHES.put("arrays-pulled", "event=called call=pull-object status=200");
    CRASHES.put("reply-saved", "event=saved what=reply");
    CRASHES.put("confirmed", "event=called call=confirm-message-received status=200");
    CRASHES.put("announced", "event=called call=push-messages status=200");
    CRASHES.put("half-sent", "event=called call=push-object status=200");
    CRASHES.put("forgotten", "event=removed what=reply");
  }

  private final Options options;

  private ToyMain(Options options) {
    this.options = options;
  }

  /** Runs the toy. */
  public static void main(String[] arguments) throws Exception {
    Options options =
        ClientOptions.addTo(new Options("toy", "Add one to every weight.", ""))
            .optional("--crash", "WHERE", "end there")
            .optional(
                "--train-s",
                "S",
                "sleep that long, or until there is a file finish in the state directory",
                "0")
            .optional("--clock-offset", "S", "pretend that the clock is wrong", "0")
            .flag("--fail", "throw while training")
            .flag("--overflow", "run out of stack while training")
            .flag("--exhaust", "run out of memory while training");
    if (!options.parse(Arrays.asList(arguments))) {
      return;
    }
    Log.start(true);
    if (options.has("--crash") && !crashesIn("training", options)) {
      crashAt(CRASHES.get(options.text("--crash")));
    }
    double offset = Double.parseDouble(options.text("--clock-offset"));
    int code = 0;
    try {
      ClientConfig.Builder config =
          ClientOptions.config(options)
              .insecure(!options.has("--ca") && !options.has("--pin"))
              .localTime(() -> System.currentTimeMillis() / 1000.0 + offset);
      Service.run(config.build(), new ToyMain(options)::handle);
    } catch (PocketfleetException error) {
      System.out.println(error.getClass().getSimpleName() + ": " + error.getMessage());
      code = 1;
    }
    System.exit(code);
  }

  /** Sleeps, or less if the test makes a file. */
  private static void sleep(double seconds, File until) throws InterruptedException {
    long end = System.nanoTime() + (long) (1e9 * seconds);
    while (System.nanoTime() < end && !until.exists()) {
      Thread.sleep(50);
    }
  }

  private Reply handle(Task task) throws IOException, InterruptedException {
    File handled = new File(options.text("--state"), "handled");
    Files.write(
        handled.toPath(),
        (task.kind() + " " + task.round() + "\n").getBytes(StandardCharsets.UTF_8),
        StandardOpenOption.CREATE,
        StandardOpenOption.APPEND);
    if (crashesIn("training", options)) {
      Runtime.getRuntime().halt(CRASHED);
    }
    if (options.has("--fail")) {
      throw new RuntimeException("the dog ate the gradients");
    }
    if (options.has("--overflow")) {
      throw new AssertionError(forEver(0));
    }
    if (options.has("--exhaust")) {
      throw new AssertionError(new long[Integer.MAX_VALUE - 8].length);
    }
    sleep(
        Double.parseDouble(options.text("--train-s")), new File(options.text("--state"), "finish"));
    Map<String, Object> metrics = new LinkedHashMap<>();
    metrics.put("num-examples", 10L);
    metrics.put("pid", Long.valueOf(new File("/proc/self").getCanonicalFile().getName()));
    if (!task.kind().equals(Records.TRAIN)) {
      return new Reply(metrics, Collections.singletonMap("name", "toy"), null);
    }
    Map<String, Tensor> arrays = new LinkedHashMap<>();
    task.arrays().forEach((name, tensor) -> arrays.put(name, plusOne(tensor)));
    return new Reply(metrics, Collections.emptyMap(), arrays);
  }

  private static boolean crashesIn(String moment, Options options) {
    return moment.equals(options.text("--crash"));
  }

  private static int forEver(int depth) {
    return depth < 0 ? depth : 1 + forEver(depth + 1);
  }

  private static Tensor plusOne(Tensor tensor) {
    Tensor sum = Tensor.zeros(tensor.type(), tensor.shape());
    for (int at = 0; at < tensor.bytes(); at += Float.BYTES) {
      sum.data().putFloat(at, tensor.data().getFloat(at) + 1);
    }
    return sum;
  }

  /**
   * Ends the process as soon as a line that begins so is logged, before the client does anything
   * else.
   */
  private static void crashAt(String line) {
    Events.LOGGER.addHandler(
        new Handler() {
          {
            setLevel(Level.FINE);
          }

          @Override
          public void publish(LogRecord record) {
            if (record.getMessage().startsWith(line)) {
              Runtime.getRuntime().halt(CRASHED);
            }
          }

          @Override
          public void flush() {}

          @Override
          public void close() {}
        });
  }
}
