package org.pocketfleet.client;

import java.io.IOException;
import org.pocketfleet.Events;
import org.pocketfleet.PocketfleetException;
import org.pocketfleet.message.Reply;
import org.pocketfleet.message.Task;
import org.pocketfleet.transport.Envelope;
import org.pocketfleet.transport.LeavingException;
import org.pocketfleet.transport.StopSignal;
import org.pocketfleet.transport.Transport;

/** Asks for work, does it, sends the answer, until told to leave. */
final class Loop {
  private final Transport transport;
  private final Handler handler;
  private final Gate gate;
  private final ClientListener listener;
  private final AdaptivePoll poll;
  private final RoundLog log;
  private final StopSignal stop;
  private final Object lock = new Object();
  private Thread worker;

  Loop(
      Transport transport,
      Handler handler,
      Gate gate,
      ClientListener listener,
      AdaptivePoll poll,
      RoundLog log,
      StopSignal stop) {
    this.transport = transport;
    this.handler = handler;
    this.gate = gate;
    this.listener = listener;
    this.poll = poll;
    this.log = log;
    this.stop = stop;
  }

  /** Leaves soon: interrupts the handler, if it is at work. */
  void stop() {
    stop.set();
    synchronized (lock) {
      if (worker != null) {
        worker.interrupt();
      }
    }
  }

  /**
   * Answers tasks until told to leave.
   *
   * @throws PocketfleetException the server cannot be reached for too long or says no, or the state
   *     directory fails
   */
  void run() throws PocketfleetException {
    try {
      transport.connect();
      listener.connected();
      sendAnswer();
      while (!stop.isSet()) {
        if (oneTask()) {
          sendAnswer();
          poll.active();
        } else {
          double waitS = poll.waitS();
          listener.waiting(waitS);
          stop.sleep(waitS);
        }
      }
    } catch (LeavingException leaving) {
      Events.debug("event=leaving");
    } finally {
      stop.set();
      boolean interrupted = Thread.interrupted();
      transport.close();
      Events.info("event=left");
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  /** What came of a task: an answer, or why there is none. */
  private static final class Outcome {
    final Envelope envelope;
    final double seconds;
    final Reply reply;
    final String problem;
    final boolean declined;

    Outcome(Envelope envelope, double seconds, Reply reply, String problem, boolean declined) {
      this.envelope = envelope;
      this.seconds = seconds;
      this.reply = reply;
      this.problem = problem;
      this.declined = declined;
    }
  }

  private void sendAnswer() throws PocketfleetException {
    if (transport.send()) {
      listener.sent();
    }
  }

  /**
   * Takes a task, if there is one, and makes its answer safe; its arrays are garbage after that.
   */
  private boolean oneTask() throws PocketfleetException {
    Outcome outcome = work();
    if (outcome == null) {
      return false;
    }
    Task task = outcome.envelope.task();
    String problem = transport.save(outcome.envelope, outcome.reply, outcome.problem);
    Reply light =
        problem != null ? null : new Reply(outcome.reply.metrics(), outcome.reply.info(), null);
    try {
      log.add(
          task,
          System.currentTimeMillis() / 1000.0,
          outcome.seconds,
          light,
          problem,
          outcome.declined);
    } catch (IOException error) {
      Events.warn("event=storage-trouble what=rounds reason=%s", error.getMessage());
    }
    listener.finished(task, light, problem);
    return true;
  }

  private Outcome work() throws PocketfleetException {
    Envelope envelope = transport.pull();
    if (envelope == null) {
      return null;
    }
    if (stop.isSet()) {
      throw new LeavingException();
    }
    Envelope light = envelope.withoutArrays();
    listener.working(light.task());
    long start = System.nanoTime();
    Reply reply = null;
    String problem = null;
    boolean declined = false;
    try {
      atWork(Thread.currentThread());
      String objection = gate.objection(light.task());
      declined = objection != null;
      if (declined) {
        problem = "declined: " + objection;
        Events.info("event=declined kind=%s reason=%s", light.task().kind(), objection);
      } else {
        reply = handler.handle(envelope.task());
        problem = reply == null ? "the handler gave no answer" : null;
      }
    } catch (Throwable error) {
      // Whatever it is, memory or stack that ran out included, the server must hear of it.
      if (stop.isSet()) {
        throw new LeavingException();
      }
      problem = error.getClass().getSimpleName() + ": " + error.getMessage();
      // The trace of a stack that ran out says the same line a thousand times.
      Events.error(
          error instanceof StackOverflowError ? null : error,
          "event=task-failed kind=%s reason=%s",
          light.task().kind(),
          problem);
    } finally {
      doneWorking();
    }
    return new Outcome(light, (System.nanoTime() - start) / 1e9, reply, problem, declined);
  }

  /** Notes whom {@link #stop} has to interrupt. */
  private void atWork(Thread thread) {
    synchronized (lock) {
      worker = thread;
      if (stop.isSet()) {
        thread.interrupt();
      }
    }
  }

  /** From here on an interrupt would hit the answer on its way; one that came too late is void. */
  private void doneWorking() {
    synchronized (lock) {
      worker = null;
      if (stop.isSet() && Thread.interrupted()) {
        Events.debug("event=interrupted");
      }
    }
  }
}
