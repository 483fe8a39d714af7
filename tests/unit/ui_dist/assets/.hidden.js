not served
