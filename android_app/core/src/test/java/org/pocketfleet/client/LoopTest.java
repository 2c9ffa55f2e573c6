package org.pocketfleet.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.message.Records;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Tensor;
import org.pocketfleet.transport.Envelope;
import org.pocketfleet.transport.StopSignal;
import org.pocketfleet.transport.Transport;
import org.pocketfleet.transport.UnreachableException;

public class LoopTest {
  private static final Reply DONE =
      new Reply(Collections.singletonMap("num-examples", 1L), Collections.emptyMap(), null);

  @Rule public final TemporaryFolder folder = new TemporaryFolder();
  private final StopSignal stop = new StopSignal();
  private final List<String> events = Collections.synchronizedList(new ArrayList<>());

  /** What a test wants to happen when there are no tasks any more. */
  private interface Then {
    void run() throws PocketfleetException;
  }

  /** A line that hands out tasks, and then does what the test wants. */
  private final class Line implements Transport {
    private final int tasks;
    private final Then then;
    private int handedOut;
    private boolean unsent;

    Line(int tasks, Then then) {
      this.tasks = tasks;
      this.then = then;
    }

    @Override
    public void connect() {
      events.add("connect");
    }

    @Override
    public Envelope pull() throws PocketfleetException {
      if (handedOut == tasks) {
        then.run();
        return null;
      }
      handedOut++;
      Task task =
          new Task(
              Records.TRAIN,
              Collections.singletonMap("w", Tensor.zeros(DType.FLOAT32, 2)),
              Collections.singletonMap(Records.SERVER_ROUND, (long) handedOut));
      return new Envelope(task, null, false, 0.5, 8);
    }

    @Override
    public String save(Envelope envelope, Reply reply, String problem) {
      assertTrue("kept in memory for nothing", envelope.task().arrays().isEmpty());
      events.add("save " + envelope.task().round() + " " + (reply == null ? problem : "reply"));
      unsent = true;
      return problem;
    }

    @Override
    public boolean send() {
      boolean was = unsent;
      unsent = false;
      events.add("send");
      return was;
    }

    @Override
    public void close() {
      assertTrue("calls would fail", !Thread.currentThread().isInterrupted());
      events.add("close");
    }
  }

  private final class Listener implements ClientListener {
    @Override
    public void connected() {
      events.add("* connected");
    }

    @Override
    public void waiting(double waitSeconds) {
      events.add("* waiting");
    }

    @Override
    public void working(Task task) {
      events.add("* working " + task.round());
    }

    @Override
    public void finished(Task task, Reply reply, String problem) {
      events.add("* finished " + task.round() + " " + (reply == null ? problem : "reply"));
    }

    @Override
    public void sent() {
      events.add("* sent");
    }

    @Override
    public void trouble(String words) {
      events.add("* trouble " + words);
    }
  }

  private Loop loop(Line line, Handler handler, Gate gate) {
    return new Loop(
        line,
        handler,
        gate,
        new Listener(),
        new AdaptivePoll(0.001, 0.01, () -> System.nanoTime() / 1e9),
        new RoundLog(folder.getRoot()),
        stop);
  }

  @Test
  public void tasksAreAnsweredUntilToldToStop() throws Exception {
    loop(new Line(2, stop::set), task -> DONE, task -> null).run();
    assertEquals(
        Arrays.asList(
            "connect",
            "* connected",
            "send",
            "* working 1",
            "save 1 reply",
            "* finished 1 reply",
            "send",
            "* sent",
            "* working 2",
            "save 2 reply",
            "* finished 2 reply",
            "send",
            "* sent",
            "* waiting",
            "close"),
        events);
    assertEquals(2, new RoundLog(folder.getRoot()).last(9).size());
  }

  @Test
  public void whateverTheHandlerThrowsIsToldAndTheClientGoesOn() throws Exception {
    List<Throwable> throwables =
        Arrays.asList(
            new IllegalStateException("conv1/kernel"),
            new PocketfleetException("battery gone"),
            new OutOfMemoryError("Java heap space"),
            new InterruptedException("by somebody else"));
    loop(
            new Line(6, stop::set),
            task -> {
              int at = (int) task.round() - 1;
              if (at == throwables.size()) {
                throw new AssertionError(overflow(0));
              }
              if (at > throwables.size()) {
                return null;
              }
              if (throwables.get(at) instanceof Error) {
                throw (Error) throwables.get(at);
              }
              throw (Exception) throwables.get(at);
            },
            task -> null)
        .run();
    assertTrue(events.contains("save 1 IllegalStateException: conv1/kernel"));
    assertTrue(events.contains("save 2 PocketfleetException: battery gone"));
    assertTrue(events.contains("save 3 OutOfMemoryError: Java heap space"));
    assertTrue(events.contains("save 4 InterruptedException: by somebody else"));
    assertTrue(events.contains("save 5 StackOverflowError: null"));
    assertTrue(events.contains("save 6 the handler gave no answer"));
    assertTrue(events.contains("* finished 6 the handler gave no answer"));
  }

  private static int overflow(int depth) {
    return depth < 0 ? depth : 1 + overflow(depth + 1);
  }

  @Test
  public void aGateThatObjectsIsHeardAtOnce() throws Exception {
    loop(
            new Line(3, stop::set),
            task -> DONE,
            task -> {
              if (task.round() == 3) {
                throw new IllegalStateException("no battery service");
              }
              return task.round() == 1 ? "battery at 12 %, needs 50 %" : null;
            })
        .run();
    assertTrue(events.contains("save 1 declined: battery at 12 %, needs 50 %"));
    assertTrue(events.contains("save 2 reply"));
    assertTrue(events.contains("save 3 IllegalStateException: no battery service"));
    assertTrue(new RoundLog(folder.getRoot()).last(9).get(0).get("declined").getAsBoolean());
  }

  @Test
  public void stoppingCutsATaskShortAndAnswersNothing() throws Exception {
    AtomicReference<Loop> loop = new AtomicReference<>();
    loop.set(
        loop(
            new Line(1, () -> {}),
            task -> {
              new Thread(() -> loop.get().stop()).start();
              Thread.sleep(60_000);
              throw new AssertionError("worked on");
            },
            task -> null));
    loop.get().run();
    assertEquals("close", events.get(events.size() - 1));
    assertTrue(events.stream().noneMatch(event -> event.startsWith("save")));
  }

  @Test
  public void anAnswerThatWasReadyWhenItWasToStopIsSent() throws Exception {
    AtomicReference<Loop> loop = new AtomicReference<>();
    loop.set(
        loop(
            new Line(5, () -> {}),
            task -> {
              loop.get().stop();
              return DONE;
            },
            task -> null));
    loop.get().run();
    assertEquals(
        Arrays.asList("save 1 reply", "* finished 1 reply", "send", "* sent", "close"),
        events.subList(events.size() - 5, events.size()));
  }

  @Test
  public void theLineIsClosedWhateverHappens() {
    UnreachableException gone = new UnreachableException("gone");
    Line line =
        new Line(
            1,
            () -> {
              throw gone;
            });
    PocketfleetException error =
        assertThrows(
            PocketfleetException.class, () -> loop(line, task -> DONE, task -> null).run());
    assertSame(gone, error);
    assertEquals("close", events.get(events.size() - 1));
  }
}
