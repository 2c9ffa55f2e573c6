package org.pocketfleet.app;

import android.app.Activity;
import android.content.Intent;

/** Hands a text to another app that the person chooses. */
final class Share {
  private Share() {}

  static void text(Activity activity, String text) {
    Intent send =
        new Intent(Intent.ACTION_SEND).setType("text/plain").putExtra(Intent.EXTRA_TEXT, text);
    activity.startActivity(Intent.createChooser(send, activity.getString(R.string.share_with)));
  }
}
