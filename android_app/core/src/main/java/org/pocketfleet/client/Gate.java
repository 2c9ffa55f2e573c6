package org.pocketfleet.client;

import org.pocketfleet.message.Task;

/** Decides whether the device may work now. */
public interface Gate {
  /**
   * Looks at the device before a task is begun.
   *
   * @return null if the device may do it now, otherwise why not, in words for the server's operator
   */
  String objection(Task task);
}
