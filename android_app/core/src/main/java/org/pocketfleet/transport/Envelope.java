package org.pocketfleet.transport;

import java.util.Collections;
import org.pocketfleet.fleet.Metadata;
import org.pocketfleet.message.Task;

/** A task and what is needed to answer it. */
public final class Envelope {
  private final Task task;
  private final Metadata message;
  private final boolean packed;
  private final double downloadS;
  private final long downloadBytes;

  /**
   * Makes an envelope.
   *
   * @param message what came with the message, for the transport's eyes
   * @param packed whether its arrays came as one, and so must those of the reply
   * @param downloadS seconds of fetching and decoding it
   * @param downloadBytes bytes fetched for it
   */
  public Envelope(
      Task task, Metadata message, boolean packed, double downloadS, long downloadBytes) {
    this.task = task;
    this.message = message;
    this.packed = packed;
    this.downloadS = downloadS;
    this.downloadBytes = downloadBytes;
  }

  /** The same without the task's arrays, which are the largest thing on a small device. */
  public Envelope withoutArrays() {
    Task light = new Task(task.kind(), Collections.emptyMap(), task.config());
    return new Envelope(light, message, packed, downloadS, downloadBytes);
  }

  /** What is asked. */
  public Task task() {
    return task;
  }

  /** Seconds of fetching and decoding it. */
  public double downloadS() {
    return downloadS;
  }

  /** Bytes fetched for it. */
  public long downloadBytes() {
    return downloadBytes;
  }

  Metadata message() {
    return message;
  }

  boolean packed() {
    return packed;
  }
}
